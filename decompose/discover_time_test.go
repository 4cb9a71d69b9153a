package decompose_test

import (
	"os"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
)

// shaped are weights that have shapes only.
type shaped struct {
	g    *graph.Graph
	dims map[string][]int
}

// Get implements gomlxvit.Weights.
func (w shaped) Get(name string) *graph.Node {
	if n := w.g.GetParameterByName(name); n != nil {
		return n
	}
	return graph.Parameter(w.g, name, shapes.Make(dtypes.Float32, w.dims[name]...))
}

// The parts of a vision transformer of base size are found within 5 seconds. Only the shapes matter: nothing is computed.
func TestDiscoveryTime(t *testing.T) {
	for _, name := range []string{"deit_base_patch16_224", "swin_base_patch4_window7_224"} {
		arch, err := gomlxvit.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := gobackend.New("")
		if err != nil {
			t.Fatal(err)
		}
		g := graph.NewGraph(b, name)
		w := shaped{g, make(map[string][]int)}
		for _, p := range arch.Params() {
			w.dims[p.Name] = p.Dims
		}
		pixels := graph.Parameter(g, "pixels", shapes.Make(dtypes.Float32, 2, 3, 224, 224))
		z := arch.Representation(w, pixels)
		unmarked(g)
		start := time.Now()
		parts, err := discover.Mark(z, pixels, nil)
		took := time.Since(start)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts.Blocks) != len(arch.Blocks()) {
			t.Errorf("%s: found %d blocks of %d", name, len(parts.Blocks), len(arch.Blocks()))
		}
		t.Logf("%s: found in %v", name, took)
		if took > 5*time.Second && os.Getenv("LONG") != "" && name == "deit_base_patch16_224" {
			t.Errorf("%s: it took %v to find the parts", name, took)
		}
		g.Finalize()
		b.Finalize()
	}
}
