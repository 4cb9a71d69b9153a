package decompose_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
	"vitdecompose/gomlxvit/mark"
)

// goBackend is the Go backend of all tests.
func goBackend(t *testing.T) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unmarked forgets all marks of a graph.
func unmarked(g *graph.Graph) {
	t := mark.Of(g)
	clear(t.Inputs)
	clear(t.Components)
	clear(t.Heads)
	clear(t.Statistics)
	clear(t.TokenMaps)
	clear(t.Joins)
	clear(t.Reads)
	clear(t.Linears)
	clear(t.Residuals)
	clear(t.Elementwise)
}

// transformed takes pixels apart by [decompose.Transform], with the marks of the model, or with those removed and found again.
// Contributions are [batch, dim], by the component's name and the token.
func transformed(t *testing.T, b compute.Backend, model *gomlxvit.Model, pixels *tensors.Tensor, opts decompose.Options, again bool) map[string][]float32 {
	t.Helper()
	var mu sync.Mutex
	var result *decompose.Result
	opts.End = len(model.Arch.Blocks())
	program, err := model.Compile(b, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, in[0])
		if again {
			marked := make(map[*graph.Node]mark.ComponentMark)
			for n, read := range mark.Of(z.Graph()).Reads {
				for n.Type() == graph.NodeTypeReshape { // of a map to its tokens
					n = n.Inputs()[0]
				}
				marked[n] = read
			}
			unmarked(z.Graph())
			parts, err := discover.Mark(z, in[0], nil)
			if err != nil {
				panic(err)
			}
			if found := mark.Of(z.Graph()).Reads; !maps.Equal(found, marked) {
				t.Errorf("found %d nodes that parts read, %d are marked, and they differ", len(found), len(marked))
			}
			if len(parts.Notes) > 0 {
				t.Errorf("notes %q about a model of which all is found", parts.Notes)
			}
			if !slices.Equal(parts.Blocks, model.Arch.Blocks()) {
				t.Errorf("found blocks %v, marked are %v", parts.Blocks, model.Arch.Blocks())
			}
			if parts.Prefix != model.Arch.PrefixTokens() {
				t.Errorf("found %d tokens before the picture's, there are %d", parts.Prefix, model.Arch.PrefixTokens())
			}
		}
		r := decompose.Transform(z, opts)
		mu.Lock()
		defer mu.Unlock()
		result = r
		var nodes []*graph.Node
		for _, p := range r.Pieces {
			nodes = append(nodes, p.Node)
		}
		return nodes
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	outputs, err := program.Run(pixels)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]float32)
	for i, p := range result.Pieces {
		shape := p.Node.Shape().Dimensions // [batch, contribution, dim]
		data := tensors.MustCopyFlatData[float32](outputs[i])
		for k, key := range p.Keys {
			name := fmt.Sprintf("%s, token %d", result.Components[key.Component], key.Token)
			if found[name] == nil {
				found[name] = make([]float32, shape[0]*shape[2])
			}
			for j, v := range pick(data, shape[0], shape[1], shape[2], k) {
				found[name][j] += v
			}
		}
	}
	return found
}

// The parts that are found in the graph of a written architecture, when its marks are removed, are those that were marked, and
// contribute the same, whole and by token.
func TestDiscoveredEqualsMarked(t *testing.T) {
	for _, name := range append(slices.Clone(vitCases), "swin", "maxvit_tf") {
		for _, split := range []decompose.Split{decompose.Heads, decompose.Attns, decompose.Tokens} {
			t.Run(fmt.Sprintf("%s/%s", name, split), func(t *testing.T) {
				_, model, pixels := goldenModel(t, name)
				checkDiscovered(t, model, pixels, split)
			})
		}
	}
}

// The same of a CoAtNet.
func TestDiscoveredCoAtNet(t *testing.T) {
	_, model, _, pixels := loadFamily(t, "coatnet")
	for _, split := range []decompose.Split{decompose.Heads, decompose.Attns, decompose.Tokens} {
		t.Run(string(split), func(t *testing.T) { checkDiscovered(t, model, pixels, split) })
	}
}

// checkDiscovered checks that the parts that are found in a model's graph without its marks contribute what the marked ones do.
func checkDiscovered(t *testing.T, model *gomlxvit.Model, pixels *tensors.Tensor, split decompose.Split) {
	t.Helper()
	opts := decompose.Options{Split: split, Biases: decompose.BiasesApart}
	b := goBackend(t)
	marked := transformed(t, b, model, pixels, opts, false)
	found := transformed(t, b, model, pixels, opts, true)
	if len(found) != len(marked) {
		t.Errorf("found %d contributions, marked are %d", len(found), len(marked))
	}
	var largest float32
	for _, values := range marked {
		for _, v := range values {
			largest = max(largest, v, -v)
		}
	}
	for name, want := range marked {
		got := found[name]
		if got == nil {
			t.Errorf("%s was not found", name)
			continue
		}
		for j := range want {
			if d := got[j] - want[j]; max(d, -d) > 2e-6*largest {
				t.Errorf("%s: %g instead of %g", name, got[j], want[j])
				break
			}
		}
	}
}
