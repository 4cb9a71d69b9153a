package decompose_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/mark"
)

// firstOfStage is the position of a stage's first block in the forward pass.
func firstOfStage(blocks []mark.Block, stage int) int {
	for _, b := range blocks {
		if b.Stage == stage {
			return b.Order
		}
	}
	return -1
}

// stageOne is the position of the first block of a golden case's stage 1, from which on the golden data decompose it.
func stageOne(t *testing.T, name string) int {
	t.Helper()
	_, model, _ := goldenModel(t, name)
	return max(0, firstOfStage(model.Arch.Blocks(), 1))
}

// attentionLayer counts attention layers in forward order from the given block on.
func attentionLayer(c decompose.Component, first int) int {
	switch layer := c.Block.Order - first; c.Block.Sublayer {
	case "block":
		return 2 * layer
	case "grid":
		return 2*layer + 1
	default:
		return layer
	}
}

// stagedReference looks up the golden contribution [batch, dim] of a component of a model with stages that is decomposed
// from the given block on. Attention layers and MLPs are counted in forward order.
func stagedReference(t *testing.T, f golden.File, c decompose.Component, first int) []float32 {
	t.Helper()
	layer := attentionLayer(c, first)
	if c.Block.Sublayer == "" && f.Has("conv") { // in a CoAtNet convolutions are blocks of their own, all before attention
		layer -= f.Shape(t, "conv")[0]
	}
	all := func(name string, i int) []float32 {
		shape := f.Shape(t, name) // [layer, batch, dim]
		return f.Tensor(t, name)[i*shape[1]*shape[2]:][:shape[1]*shape[2]]
	}
	heads := fmt.Sprintf("attn_heads.%d", layer)
	switch c.Kind {
	case decompose.Init:
		return f.Tensor(t, "init")
	case decompose.Const:
		return f.Tensor(t, "const")
	case decompose.Conv:
		return all("conv", c.Block.Order-first)
	case decompose.MLP:
		return all("mlp", layer)
	case decompose.Head:
		shape := f.Shape(t, heads) // [batch, head, dim]
		return pick(f.Tensor(t, heads), shape[0], shape[1], shape[2], c.Head)
	case decompose.Attn:
		shape := f.Shape(t, heads)
		sum := make([]float32, shape[0]*shape[2])
		for h := range shape[1] {
			for i, v := range pick(f.Tensor(t, heads), shape[0], shape[1], shape[2], h) {
				sum[i] += v
			}
		}
		return sum
	}
	t.Fatalf("no reference for %s", c)
	return nil
}

// References: timm 1.0.31 for the representation and logits, a float64 recomputation for the contributions of all
// blocks from stage 1 on (golden data).
func TestGoldenStagedDecomposition(t *testing.T) {
	for name, components := range map[string]map[decompose.Split]int{
		"swin": {decompose.Heads: 2*4 + 2*8 + 4 + 2, decompose.Attns: 4 + 4 + 2},
		// In each block a convolution, and attention and MLP twice.
		"maxvit_tf": {decompose.Heads: 4*2 + 4*3 + 4 + 8 + 2, decompose.Attns: 8 + 4 + 8 + 2},
	} {
		on(t, name, []string{"swin", "maxvit_tf"}, func(t *testing.T, b compute.Backend) {
			dir := golden.Dir(t, name)
			io, f := golden.Open(t, dir, "io.safetensors"), golden.Open(t, dir, "decomposition.safetensors")
			first := stageOne(t, name)
			for split, count := range components {
				if split == decompose.Attns && b == testBackend {
					continue // the sums of the heads
				}
				t.Run(string(split), func(t *testing.T) {
					out := goldenOutput(t, b, name, decompose.Options{First: first, Split: split})
					golden.Close(t, "representation", out.Representation, io.Tensor(t, "features"), 2e-5)
					golden.Close(t, "logits", out.Logits, io.Tensor(t, "logits"), 2e-5)
					if out.Error > 1e-5 {
						t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
					}
					if len(out.Components) != count {
						t.Errorf("%d components, want %d: %v", len(out.Components), count, decompose.Names(out.Components))
					}
					size := out.Batch * out.Dim
					for i, c := range out.Components {
						golden.Close(t, c.String(), out.Contributions[i*size:][:size], stagedReference(t, f, c, first), 5e-5)
					}
				})
			}
		})
	}
}

// A layer with one head, as MaxViT's first stage has here: the output projection is a square matrix that the head takes in
// whole. References: timm 1.0.31 for the representation; the layer's only head is all that its attention adds.
func TestSingleHead(t *testing.T) {
	heads := goldenOutput(t, onGo(t), "maxvit_tf", decompose.Options{End: 1, Split: decompose.Heads})
	io := golden.Open(t, golden.Dir(t, "maxvit_tf"), "io.safetensors")
	golden.Close(t, "representation", heads.Representation, io.Tensor(t, "features"), 2e-5)
	if heads.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", heads.Error)
	}
	layers := goldenOutput(t, onGo(t), "maxvit_tf", decompose.Options{End: 1, Split: decompose.Attns})
	if len(heads.Components) != len(layers.Components) {
		t.Fatalf("heads %v, layers %v", decompose.Names(heads.Components), decompose.Names(layers.Components))
	}
	size := heads.Batch * heads.Dim
	for i, c := range heads.Components {
		golden.Close(t, c.String(), heads.Contributions[i*size:][:size], layers.Contributions[i*size:][:size], 5e-5)
	}
}

// Names of a block's parts where it has several attentions and MLPs, in forward order.
func TestSublayerNames(t *testing.T) {
	_, model, pixels := goldenModel(t, "maxvit_tf")
	last := len(model.Arch.Blocks())
	out := runOn(t, onGo(t), model, pixels, decompose.Options{First: last - 1, Split: decompose.Attns})
	want := []string{
		"init", "layer:(2,1), conv", "layer:(2,1), block attns", "layer:(2,1), block mlp", "layer:(2,1), grid attns",
		"layer:(2,1), grid mlp", "const",
	}
	if got := decompose.Names(out.Components); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("components %q, want %q", got, want)
	}
}

// Contributions of source tokens in windows and grids and across merged and pooled patches, at their place on the
// block's map, against a float64 recomputation (golden data).
func TestGoldenStagedTokens(t *testing.T) {
	for name, heads := range map[string]int{"swin": 2*4 + 2*8, "maxvit_tf": 4*2 + 4*3} {
		t.Run(name, func(t *testing.T) {
			first := stageOne(t, name)
			f := golden.Open(t, golden.Dir(t, name), "decomposition.safetensors")
			checked := 0
			out := goldenTokens(t, onGo(t), name, first)
			for _, b := range out.blocks {
				for i, index := range b.Components {
					c := out.components[index]
					if c.Kind != decompose.Head {
						continue
					}
					checked++
					tensor := fmt.Sprintf("attn_head_tokens.%d", attentionLayer(c, first))
					shape := f.Shape(t, tensor) // [batch, head, token, dim]
					if c.Tokens != shape[2] {
						t.Fatalf("%s has %d tokens, want %d", c, c.Tokens, shape[2])
					}
					var got []float32 // [batch, token, dim] without the tokens beyond the block's map
					for picture := range shape[0] {
						got = append(got, b.Contributions[(i*shape[0]+picture)*b.Tokens*shape[3]:][:shape[2]*shape[3]]...)
					}
					golden.Close(t, c.String(), got, pick(f.Tensor(t, tensor), shape[0], shape[1], shape[2]*shape[3], c.Head), 5e-5)
				}
			}
			if checked != heads {
				t.Errorf("%d heads were split, want %d", checked, heads)
			}
			if out.Error > 1e-5 {
				t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
			}
		})
	}
}

// Batches of other sizes in between change nothing: what was captured of a batch is that batch's.
func TestTokensOfBatchesInTurn(t *testing.T) {
	if !unoptimised(t) {
		return
	}
	_, model, pixels := goldenModel(t, "swin")
	d, err := decompose.New(testBackend, model, decompose.Options{First: firstOfStage(model.Arch.Blocks(), 1), Split: decompose.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	batch, size := pixels.Shape().Dim(0), pixels.Shape().Size()/pixels.Shape().Dim(0)
	if batch < 2 {
		t.Fatalf("%d pictures, want some", batch)
	}
	flat, err := tensors.CopyFlatData[float32](pixels)
	if err != nil {
		t.Fatal(err)
	}
	dims := slices.Clone(pixels.Shape().Dimensions)
	dims[0] = 1
	one := tensors.FromFlatDataAndDimensions(flat[:size], dims...)
	contributions := func(pixels *tensors.Tensor) (all []float32) {
		out, err := d.RunTokens(pixels, func(b decompose.TokenBlock) error {
			all = append(all, b.Contributions...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if out.Error > 1e-5 {
			t.Errorf("components of %d pictures sum to the representation within %.2g, allowed 1e-5", out.Batch, out.Error)
		}
		return all
	}
	before := contributions(pixels)
	contributions(one)
	if after := contributions(pixels); !slices.Equal(before, after) {
		t.Error("the contributions to the same pictures differ after a smaller batch")
	}
}
