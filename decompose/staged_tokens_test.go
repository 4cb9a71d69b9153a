package decompose_test

import (
	"fmt"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// Contributions of source tokens in windows and grids and across merged and pooled patches, at their place on the
// block's map, against a float64 recomputation (golden cases swin and maxvit_tf).
func TestGoldenStagedTokens(t *testing.T) {
	for name, heads := range map[string]int{"swin": 2*4 + 2*8, "maxvit_tf": 4*2 + 4*3} {
		t.Run(name, func(t *testing.T) { testStagedTokens(t, name, heads) })
	}
}

func testStagedTokens(t *testing.T, name string, heads int) {
	dir, model, pixels := goldenModel(t, name)
	blocks := model.Arch.Blocks()
	first := 0
	for blocks[first].Stage < 1 {
		first++
	}
	d, err := decompose.New(testBackend, model, decompose.Options{First: first, Split: decompose.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	f := golden.Open(t, dir, "decomposition.safetensors")
	checked := 0
	out, err := d.RunTokens(pixels, func(b decompose.TokenBlock) error {
		for i, index := range b.Components {
			c := d.Components()[index]
			if c.Kind != decompose.Head {
				continue
			}
			checked++
			layer := c.Block.Order - first
			switch c.Block.Sublayer {
			case "block":
				layer *= 2
			case "grid":
				layer = 2*layer + 1
			}
			name := fmt.Sprintf("attn_head_tokens.%d", layer)
			shape := f.Shape(t, name) // [batch, head, token, dim]
			if c.Tokens != shape[2] {
				t.Fatalf("%s has %d tokens, want %d", c, c.Tokens, shape[2])
			}
			var got []float32 // of [batch, token, dim] without the tokens beyond the block's grid
			for picture := range shape[0] {
				got = append(got, b.Contributions[(i*shape[0]+picture)*b.Tokens*shape[3]:][:shape[2]*shape[3]]...)
			}
			golden.Close(t, c.String(), got, pick(f.Tensor(t, name), shape[0], shape[1], shape[2]*shape[3], c.Head), 5e-5)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked != heads {
		t.Errorf("%d heads were split, want %d", checked, heads)
	}
	if out.Error > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", out.Error)
	}
}
