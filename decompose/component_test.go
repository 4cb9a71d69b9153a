package decompose_test

import (
	"slices"
	"strings"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/mark"
)

// named are components with their two written forms. The long ones are those of the code of arXiv 2406.01583, with the
// sublayers of MaxViT that it does not tell apart.
var named = []struct {
	component   decompose.Component
	long, short string
}{
	{decompose.Component{Kind: decompose.Init}, "init", "init"},
	{decompose.Component{Kind: decompose.Rest}, "rest", "rest"},
	{decompose.Component{Kind: decompose.Const}, "const", "const"},
	{decompose.Component{Kind: decompose.Head, Block: mark.Plain(7), Head: 3}, "layer:07, attn_head:03", "L7 H3"},
	{decompose.Component{Kind: decompose.Head, Block: mark.Plain(0)}, "layer:00, attn_head:00", "L0 H0"},
	{decompose.Component{Kind: decompose.Head, Block: mark.Plain(123), Head: 100}, "layer:123, attn_head:100", "L123 H100"},
	{decompose.Component{Kind: decompose.Attn, Block: mark.Plain(7)}, "layer:07, attns", "L7 attn"},
	{decompose.Component{Kind: decompose.MLP, Block: mark.Plain(11)}, "layer:11, mlp", "L11 MLP"},
	{decompose.Component{Kind: decompose.MLP, Block: staged(2, 14, "")}, "layer:(2,14), mlp", "S2.14 MLP"},
	{decompose.Component{Kind: decompose.Head, Block: staged(2, 3, ""), Head: 1}, "layer:(2,3), attn_head:01", "S2.3 H1"},
	{decompose.Component{Kind: decompose.Conv, Block: staged(2, 3, "")}, "layer:(2,3), conv", "S2.3 conv"},
	{decompose.Component{Kind: decompose.Head, Block: staged(2, 3, "grid"), Head: 1}, "layer:(2,3), grid attn_head:01", "S2.3 grid H1"},
	{decompose.Component{Kind: decompose.Attn, Block: staged(2, 3, "block")}, "layer:(2,3), block attns", "S2.3 block attn"},
	{decompose.Component{Kind: decompose.MLP, Block: staged(2, 3, "grid")}, "layer:(2,3), grid mlp", "S2.3 grid MLP"},
}

func staged(stage, index int, sublayer string) mark.Block {
	return mark.Block{Staged: true, Stage: stage, Index: index, Sublayer: sublayer}
}

func TestComponentForms(t *testing.T) {
	for _, c := range named {
		if got := c.component.String(); got != c.long {
			t.Errorf("%+v is %q, want %q", c.component, got, c.long)
		}
		if got := c.component.Short(); got != c.short {
			t.Errorf("%+v is %q in short, want %q", c.component, got, c.short)
		}
		if got, err := decompose.ParseComponent(c.long); err != nil || got != c.component {
			t.Errorf("%q is read as %+v, %v, want %+v", c.long, got, err, c.component)
		}
	}
}

func TestWhatNamesNoComponent(t *testing.T) {
	for _, name := range []string{
		"", "Init", "layer:07", "layer:7, mlp", "layer:007, mlp", "layer:-1, mlp", "layer:x, mlp", "layer:07, mlp ", "layer:07,mlp",
		"layer:07, x", "layer:07, init", "layer:07, attn_head", "layer:07, attn_head:3", "layer:07, mlp:01", "layer:07,  mlp",
		"layer:(2, 3), mlp", "layer:((2,3)), mlp", "layer:(2,3, mlp", "layer:2,3, mlp", "layer:(2,-3), mlp", "07, mlp",
		"layer:99999999999999999999, mlp",
	} {
		if c, err := decompose.ParseComponent(name); err == nil {
			t.Errorf("%q is read as %+v", name, c)
		}
	}
	if _, err := decompose.ParseComponents([]string{"init", "layer:07, what"}); err == nil || !strings.Contains(err.Error(), `"layer:07, what"`) {
		t.Errorf("the error is %v, it is to say what is wrong", err)
	}
}

// Whatever is read is written as it was, and what is written is read as the same component.
func FuzzParseComponent(f *testing.F) {
	for _, c := range named {
		f.Add(c.long)
	}
	f.Add("layer:00, a, b mlp")
	f.Fuzz(func(t *testing.T, name string) {
		c, err := decompose.ParseComponent(name)
		if err != nil {
			return
		}
		if got := c.String(); got != name {
			t.Errorf("%q is written as %q", name, got)
		}
		if again, err := decompose.ParseComponent(c.String()); err != nil || again != c {
			t.Errorf("%q is read as %+v and then as %+v, %v", name, c, again, err)
		}
	})
}

// Blocks and the parts of a block are put in order by what they are, read from names in any order.
func TestComponentOrder(t *testing.T) {
	names := []string{"const", "layer:(2,10), conv", "layer:(2,9), grid mlp", "rest", "layer:(2,9), grid attns", "layer:(2,10), mlp",
		"layer:(1,11), mlp", "init", "layer:(2,9), conv", "layer:(2,9), block attns", "layer:(2,9), block mlp"}
	components, err := decompose.ParseComponents(names)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(components, func(a, b decompose.Component) int {
		if !a.SameBlock(b) {
			return a.CompareBlock(b)
		}
		return a.CompareAblation(b)
	})
	want := []string{"init", "layer:(1,11), mlp", "layer:(2,9), grid mlp", "layer:(2,9), block mlp", "layer:(2,9), grid attns",
		"layer:(2,9), block attns", "layer:(2,9), conv", "layer:(2,10), mlp", "layer:(2,10), conv", "rest", "const"}
	if got := decompose.Names(components); !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
}

// The names that models have are read back as the components that they name, but for what a name does not say. The components
// are known before anything runs.
func TestNamesOfGoldenCases(t *testing.T) {
	for _, name := range append(slices.Clone(vitCases), "swin", "maxvit_tf") {
		_, model, _ := goldenModel(t, name)
		for _, split := range []decompose.Split{decompose.Heads, decompose.Attns} {
			d, err := decompose.New(testBackend, model, decompose.Options{Split: split})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			components := d.Components()
			if first := components[0].Kind; first != decompose.Init || len(components) < 2*len(model.Arch.Blocks())+2 {
				t.Fatalf("%s: %d components, the first is %s", name, len(components), first)
			}
			read, err := decompose.ParseComponents(decompose.Names(components))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i, c := range components {
				if c.Tokens = 0; c.Block.Staged {
					c.Block.Order = 0
				}
				if read[i] != c {
					t.Errorf("%s: %q is read as %+v, want %+v", name, c, read[i], c)
				}
				if i > 0 && read[i-1].CompareBlock(read[i]) > 0 {
					t.Errorf("%s: %s comes before %s", name, read[i], read[i-1])
				}
			}
		}
	}
}
