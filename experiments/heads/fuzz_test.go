package heads

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"vitdecompose/gomlxvit/safetensors"
)

// Whatever lies under the name of a head's file, or is in its record under the right sum: a head of that model or an error.
func FuzzReadHead(f *testing.F) {
	const key, classes, dim = "k", 2, 3
	dir := f.TempDir()
	path, summed := filepath.Join(dir, "head.safetensors"), filepath.Join(dir, "summed.safetensors")
	head := &Linear{Weight: []float32{1, 2, 3, 4, 5, 6}, Bias: []float32{7, 8}, ClassNames: []string{"a", "b"}, Pictures: 9, Labelled: 8, Loss: 0.5}
	require.NoError(f, writeHead(path, key, head))
	content, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(content, `{"key": "k", "class_names": ["a", "b"], "pictures": 9, "labelled": 8, "loss": 0.5}`)
	f.Add(content, `{"key": "k", "class_names": ["a"]}`)
	f.Add(content[:len(content)-4], `{"key": "another"}`)
	f.Fuzz(func(t *testing.T, content []byte, record string) {
		if !utf8.ValidString(record) {
			return // a safetensors file has no such metadata
		}
		require.NoError(t, os.WriteFile(path, content, 0o666))
		sum, err := safetensors.Sum(record, head.Weight, head.Bias)
		require.NoError(t, err)
		require.NoError(t, safetensors.Write(summed, map[string]string{headEntry: record, headSum: sum}, []safetensors.Tensor{
			{Name: headWeight, Shape: []int{classes, dim}, Data: head.Weight}, {Name: headBias, Shape: []int{classes}, Data: head.Bias},
		}))
		for _, file := range []string{path, summed} {
			read, err := readHead(file, key, classes, dim)
			if err != nil {
				require.ErrorContains(t, err, file)
				continue
			}
			require.Equal(t, head.Weight, read.Weight)
			require.Equal(t, head.Bias, read.Bias)
			require.Contains(t, []int{0, classes}, len(read.ClassNames))
		}
	})
}
