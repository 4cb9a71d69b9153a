package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/safetensors"
)

// writePixels writes n random pictures for the tests' model and returns the file.
func writePixels(t testing.TB, name string, n, side int) string {
	t.Helper()
	pixels := make([]float32, n*3*side*side)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range pixels {
		pixels[i] = float32(rng.NormFloat64())
	}
	file := filepath.Join(t.TempDir(), "pixels.safetensors")
	require.NoError(t, safetensors.Write(file, nil, []safetensors.Tensor{{Name: name, Shape: []int{n, 3, side, side}, Data: pixels}}))
	return file
}

// parts is a file that decompose wrote.
type parts struct {
	components                            []string
	shapes                                map[string][]int
	contributions, representation, logits []float32
}

func readParts(t testing.TB, file string) parts {
	t.Helper()
	f, err := safetensors.Open(file)
	require.NoError(t, err)
	defer f.Close()
	p := parts{shapes: map[string][]int{}}
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["components"]), &p.components))
	for name, to := range map[string]*[]float32{"contributions": &p.contributions, "representation": &p.representation, "logits": &p.logits} {
		info, ok := f.Info(name)
		if !ok {
			continue
		}
		p.shapes[name] = info.Shape
		*to, err = f.Float32(name)
		require.NoError(t, err)
	}
	require.Len(t, p.shapes, len(f.Names()), "no other tensors")
	return p
}

// sumTo adds groups of numbers up: contributions [outer, group, inner] to [outer, inner].
func sumTo(values []float32, outer, group, inner int) []float32 {
	sums := make([]float32, outer*inner)
	for o := range outer {
		for c := range inner {
			var sum float64
			for g := range group {
				sum += float64(values[(o*group+g)*inner+c])
			}
			sums[o*inner+c] = float32(sum)
		}
	}
	return sums
}

// near requires that no number is off by more than tolerance times the largest.
func near(t testing.TB, want, got []float32, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want))
	var worst, largest float64
	for i := range want {
		worst = max(worst, math.Abs(float64(want[i])-float64(got[i])))
		largest = max(largest, math.Abs(float64(want[i])))
	}
	require.Greater(t, largest, 0.0)
	require.LessOrEqual(t, worst/largest, tolerance)
}

// tinyNames are the components of blocks first to last of the tests' model.
func tinyNames(split string, first, last int) []string {
	names := []string{"init"}
	for block := first; block <= last; block++ {
		if split == "attns" {
			names = append(names, fmt.Sprintf("layer:%02d, attns", block))
		} else {
			for head := range tinyHeads {
				names = append(names, fmt.Sprintf("layer:%02d, attn_head:%02d", block, head))
			}
		}
		names = append(names, fmt.Sprintf("layer:%02d, mlp", block))
	}
	if last < tinyBlocks-1 {
		names = append(names, "rest")
	}
	return names
}

var reported = regexp.MustCompile(`: (\d+) components of (\d+) pictures; \|sum - representation\| is at most (\S+) of the representation\nthe representation is .+\n$`)

// decomposed runs decompose and checks what holds of every decomposition: shapes, the sum, the logits, what is printed.
func decomposed(t *testing.T, pictures int, names []string, tokens int, args ...string) parts {
	t.Helper()
	out := filepath.Join(t.TempDir(), "parts.safetensors")
	stdout := succeed(t, append([]string{"decompose", "--out", out}, args...)...)
	noTemporaries(t, filepath.Dir(out))
	said := reported.FindStringSubmatch(stdout)
	require.NotNil(t, said, stdout)
	require.Equal(t, []string{strconv.Itoa(len(names)), strconv.Itoa(pictures)}, said[1:3])
	exactness, err := strconv.ParseFloat(said[3], 64)
	require.NoError(t, err)
	require.Less(t, exactness, 1e-5)

	p := readParts(t, out)
	require.Equal(t, names, p.components)
	want := []int{len(names), pictures, tinyDim}
	if tokens > 0 {
		want = []int{len(names), pictures, tokens, tinyDim}
	}
	require.Equal(t, map[string][]int{
		"contributions": want, "representation": {pictures, tinyDim}, "logits": {pictures, len(tinyLabels())},
	}, p.shapes)
	whole := p.contributions
	if tokens > 0 {
		whole = sumTo(whole, len(names)*pictures, tokens, tinyDim)
	}
	near(t, p.representation, sumTo(whole, 1, len(names), pictures*tinyDim), 1e-5)
	near(t, head(t, p.representation), p.logits, 1e-5)
	return p
}

// head is the linear head of the tests' model, on its own.
func head(t testing.TB, representation []float32) []float32 {
	t.Helper()
	var weight, bias []float32
	for _, tensor := range tinyWeights(t, 1) {
		switch tensor.Name {
		case "head.weight":
			weight = tensor.Data.([]float32)
		case "head.bias":
			bias = tensor.Data.([]float32)
		}
	}
	var logits []float32
	for i := 0; i < len(representation); i += tinyDim {
		for class, b := range bias {
			logit := float64(b)
			for c := range tinyDim {
				logit += float64(weight[class*tinyDim+c]) * float64(representation[i+c])
			}
			logits = append(logits, float32(logit))
		}
	}
	return logits
}

func TestDecompose(t *testing.T) {
	model := tinyModel(t)
	files := writePictures(t, t.TempDir(), 5)
	pixels := writePixels(t, "pixels", 5, tinySide)
	withConst := func(names []string) []string { return append(names, "const") }
	const n = 5

	heads := decomposed(t, n, withConst(tinyNames("heads", 0, 1)), 0, "--model", model, "--pixels", pixels, "--batch", "2")
	t.Run("the batch does not matter", func(t *testing.T) {
		same := decomposed(t, n, heads.components, 0, "--model", model, "--pixels", pixels, "--batch", "100")
		near(t, heads.contributions, same.contributions, 1e-5)
	})
	t.Run("attns are the heads together", func(t *testing.T) {
		attns := decomposed(t, n, withConst(tinyNames("attns", 0, 1)), 0, "--model", model, "--pixels", pixels, "--split", "attns", "--batch", "3")
		for block := range tinyBlocks {
			first := 1 + block*(tinyHeads+1)
			near(t, sumTo(heads.contributions[first*n*tinyDim:], 1, tinyHeads, n*tinyDim), attns.contributions[(1+2*block)*n*tinyDim:][:n*tinyDim], 1e-5)
		}
	})
	t.Run("tokens add up to the heads", func(t *testing.T) {
		tokens := decomposed(t, n, heads.components, tinyTokens, "--model", model, "--pixels", pixels, "--split", "tokens", "--batch", "2")
		near(t, heads.contributions, sumTo(tokens.contributions, len(heads.components)*n, tinyTokens, tinyDim), 1e-5)
	})
	t.Run("tokens of the last block", func(t *testing.T) {
		decomposed(t, n, withConst(tinyNames("tokens", 1, 1)), tinyTokens, "--model", model, "--pixels", pixels, "--split", "tokens", "--blocks", "1..1", "--batch", "3")
	})
	t.Run("the last block", func(t *testing.T) {
		last := decomposed(t, n, withConst(tinyNames("heads", 1, 1)), 0, "--model", model, "--pixels", pixels, "--blocks", "1")
		near(t, heads.contributions[5*n*tinyDim:9*n*tinyDim], last.contributions[n*tinyDim:5*n*tinyDim], 1e-5)
	})
	t.Run("biases shared", func(t *testing.T) {
		decomposed(t, n, tinyNames("heads", 0, 1), 0, "--model", model, "--pixels", pixels, "--biases", "shared")
	})
	t.Run("input is another name for pixels", func(t *testing.T) {
		same := decomposed(t, n, heads.components, 0, "--model", model, "--pixels", writePixels(t, "input", 5, tinySide))
		near(t, heads.contributions, same.contributions, 1e-5)
	})
	t.Run("pictures", func(t *testing.T) {
		args := append([]string{"--model", model, "--batch", "2"}, files...)
		p := decomposed(t, n, heads.components, 0, args...)
		// classify sees the same pictures the same way.
		best := 0
		for class, logit := range p.logits[:len(tinyLabels())] {
			if logit > p.logits[best] {
				best = class
			}
		}
		first := classLine.FindStringSubmatch(strings.Split(succeed(t, "classify", "--model", model, files[0]), "\n")[1])
		require.Equal(t, []string{fmt.Sprintf("%.3f", p.logits[best]), strconv.Itoa(best), tinyLabels()[best]}, []string{first[1], first[3], first[4]})
	})
	t.Run("replaces a file", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "parts.safetensors")
		require.NoError(t, os.WriteFile(out, []byte("old"), 0o666))
		succeed(t, "decompose", "--out", out, "--model", model, "--pixels", pixels)
		require.Equal(t, heads.representation, readParts(t, out).representation)
	})
}

// TestBackendsAgree is the one test of this package that runs on the backend that users have.
func TestBackendsAgree(t *testing.T) {
	model := tinyModel(t)
	pixels := writePixels(t, "pixels", 3, tinySide)
	names := append(tinyNames("heads", 0, 1), "const")
	slow := decomposed(t, 3, names, 0, "--model", model, "--pixels", pixels, "--batch", "2")
	t.Setenv("GOMLX_BACKEND", usersBackend)
	fast := decomposed(t, 3, names, 0, "--model", model, "--pixels", pixels, "--batch", "2")
	near(t, slow.contributions, fast.contributions, 1e-5)
	near(t, slow.logits, fast.logits, 1e-5)
}

func TestDecomposeMistakes(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	pixels := writePixels(t, "pixels", 2, tinySide)
	out := filepath.Join(dir, "out.safetensors")
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("no tensors"), 0o666))
	rank := filepath.Join(dir, "rank.safetensors")
	require.NoError(t, safetensors.Write(rank, nil, []safetensors.Tensor{{Name: "pixels", Shape: []int{3}, Data: make([]float32, 3)}}))
	integers := filepath.Join(dir, "integers.safetensors")
	require.NoError(t, safetensors.Write(integers, nil, []safetensors.Tensor{
		{Name: "pixels", Shape: []int{1, 3, tinySide, tinySide}, Data: make([]int64, 3*tinySide*tinySide)},
	}))

	blank := make([]float32, 3*tinySide*tinySide)
	blank[7] = float32(math.NaN())
	notNumbers := filepath.Join(dir, "nan.safetensors")
	require.NoError(t, safetensors.Write(notNumbers, nil, []safetensors.Tensor{{Name: "pixels", Shape: []int{1, 3, tinySide, tinySide}, Data: blank}}))

	for _, c := range []struct {
		name  string
		code  int
		args  string
		words []string
	}{
		{"not a number", exitFailed, "--model M --out O --pixels " + notNumbers, []string{model, "logits of picture 0", "not finite (NaN)"}},
		{"nothing", exitUsage, "--model M --out O", []string{"--pixels FILE"}},
		{"both", exitUsage, "--model M --out O --pixels P picture.png", []string{"--pixels FILE", "name either pictures or --pixels FILE"}},
		{"no out", exitUsage, "--model M --pixels P", []string{"--out FILE is missing"}},
		{"split", exitUsage, "--model M --out O --pixels P --split layers", []string{`--split: "layers"`, "heads, attns, tokens"}},
		{"biases", exitUsage, "--model M --out O --pixels P --biases none", []string{`--biases: "none"`, "const, shared"}},
		{"biases of tokens", exitUsage, "--model M --out O --pixels P --biases shared --split tokens", []string{"--biases shared", "--split tokens"}},
		{"batch", exitUsage, "--model M --out O --pixels P --batch 0", []string{"--batch"}},
		{"blocks beyond", exitUsage, "--model M --out O --pixels P --blocks 1..2", []string{`--blocks "1..2"`, "0..1"}},
		{"blocks backwards", exitUsage, "--model M --out O --pixels P --blocks 1..0", []string{`--blocks "1..0"`}},
		{"blocks in words", exitUsage, "--model M --out O --pixels P --blocks last", []string{`--blocks "last"`, "FIRST..LAST"}},
		{"no pixels file", exitFailed, "--model M --out O --pixels nowhere.safetensors", []string{"--pixels", "nowhere.safetensors", "no such file"}},
		{"not safetensors", exitFailed, "--model M --out O --pixels " + plain, []string{"--pixels", plain}},
		{"no such tensor", exitFailed, "--model M --out O --pixels " + writePixels(t, "picture", 1, tinySide), []string{"no tensor called pixels, input, pixel_values"}},
		{"another side", exitFailed, "--model M --out O --pixels " + writePixels(t, "pixels", 1, 16), []string{"[1 3 16 16]", "[N, 3, 32, 32]"}},
		{"another rank", exitFailed, "--model M --out O --pixels " + rank, []string{"[3]", "[N, 3, 32, 32]"}},
		{"integers", exitFailed, "--model M --out O --pixels " + integers, []string{"pixels", "I64"}},
		{"no such picture", exitFailed, "--model M --out O nowhere.png", []string{"nowhere.png"}},
		{"out nowhere", exitFailed, "--model M --pixels P --out " + filepath.Join(dir, "no", "out.safetensors"), []string{"--out", "the directory does not exist"}},
		{"out below a file", exitFailed, "--model M --pixels P --out " + filepath.Join(plain, "out.safetensors"), []string{"--out", plain}},
		{"out is a directory", exitFailed, "--model M --pixels P --out " + dir, []string{"--out", "it is a directory"}},
		{"random weights of what", exitFailed, "--model frob --random-weights --pixels P --out O", []string{"--model: architecture", `"frob"`}},
		{"no model", exitFailed, "--model frob --pixels P --out O", []string{"--model: frob"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.Fields(c.args)
			for i, arg := range args {
				if path, ok := map[string]string{"M": model, "P": pixels, "O": out}[arg]; ok {
					args[i] = path
				}
			}
			fail(t, c.code, c.words, append([]string{"decompose"}, args...)...)
			require.NoFileExists(t, out)
			noTemporaries(t, dir)
		})
	}
}

func TestDecomposeInterrupted(t *testing.T) {
	model := tinyModel(t)
	pixels := writePixels(t, "pixels", 6, tinySide)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	require.NoError(t, os.WriteFile(out, []byte("old"), 0o666))
	ctx := &endsAfter{Context: context.Background()}
	ctx.left.Store(2) // of three batches
	code, stdout, stderr := programWith(ctx, "decompose", "--model", model, "--pixels", pixels, "--batch", "2", "--out", out)
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Equal(t, "vitdecompose decompose: interrupted\n", stderr)
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "old", string(content))
	noTemporaries(t, filepath.Dir(out))
}

func TestDecomposeWithoutHead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "headless")
	writeHeadless(t, dir)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	succeed(t, "decompose", "--model", dir, "--pixels", writePixels(t, "pixels", 1, tinySide), "--out", out)
	require.Equal(t, map[string][]int{"contributions": {10, 1, tinyDim}, "representation": {1, tinyDim}}, readParts(t, out).shapes)
}

func TestParseBlocks(t *testing.T) {
	plain := []mark.Block{mark.Plain(0), mark.Plain(1), mark.Plain(2)}
	staged := mark.Staged([]int{2, 1, 3})
	for _, test := range []struct {
		text        string
		blocks      []mark.Block
		first, last int
	}{
		{"1", plain, 1, 1}, {"0..2", plain, 0, 2}, {"1..", plain, 1, 2},
		{"3..5", staged, 3, 5}, {"(2,0)..", staged, 3, 5}, {"(1,0)..(2, 1)", staged, 2, 4}, {"(0,1)", staged, 1, 1}, {"1..(2,0)", staged, 1, 3},
	} {
		first, last, err := parseBlocks(test.text, test.blocks)
		require.NoError(t, err, test.text)
		require.Equal(t, [2]int{test.first, test.last}, [2]int{first, last}, test.text)
	}
	for text, blocks := range map[string][]mark.Block{
		"(0,0)": plain, "3": plain, "": plain, "..2": plain, "2..1": plain, "(1,1)..": staged, "(2,0)..(1,0)": staged, "(2,0)..x": staged,
	} {
		_, _, err := parseBlocks(text, blocks)
		require.ErrorContains(t, err, "is not a range FIRST..LAST within 0..", text)
	}
	_, _, err := parseBlocks("7", staged)
	require.ErrorContains(t, err, "or (0,0)..(2,2)")
}
