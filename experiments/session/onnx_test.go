package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// An ONNX file is a model like any other; what checkpoints say themselves is an option for it alone.
func TestONNX(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "gomlxvit", "onnx", "testdata", "hf_vit", "*.onnx"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	model, err := OpenModel(t.Context(), Options{Model: files[0], Mean: []float64{0.5, 0.5, 0.5}, Std: []float64{0.5, 0.5, 0.5}})
	require.NoError(t, err)
	require.NotEmpty(t, model.Arch.Blocks())
	require.Contains(t, model.Assumptions, "its parts were found in its computation graph")

	_, err = OpenModel(t.Context(), Options{Model: files[0], Mean: []float64{0.5}, Std: []float64{0.5, 0.5, 0.5}})
	require.ErrorContains(t, err, "option Mean: 1 numbers are given")
	_, err = OpenModel(t.Context(), Options{Model: files[0], Arch: "vit_tiny_patch16_224"})
	require.ErrorContains(t, err, "do not go with an ONNX file")
	_, err = OpenModel(t.Context(), Options{Model: "deit-mini", Output: "logits"})
	require.EqualError(t, err, "option Output: it is for models in ONNX files; other checkpoints say it themselves")
	_, err = OpenModel(t.Context(), Options{Model: "vit_tiny_patch16_224", RandomWeights: true, Std: []float64{1, 1, 1}})
	require.ErrorContains(t, err, "option Std: it is for models in ONNX files")
	dir := t.TempDir()
	require.Empty(t, onnxFile(dir))
	content, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.onnx"), content, 0o666))
	require.Equal(t, filepath.Join(dir, "model.onnx"), onnxFile(dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), nil, 0o666))
	require.Empty(t, onnxFile(dir), "weights in another form come first")
}
