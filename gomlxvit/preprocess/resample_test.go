package preprocess

import (
	"math/rand/v2"
	"testing"

	"vitdecompose/data/picture"
)

// Assembly and Go resize to the same bytes, whatever the sizes; that Pillow has the same is for the golden tests.
func TestAssembly(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	defer func() { hasAVX2 = true }()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, mode := range []picture.Mode{picture.RGB, picture.Grey, picture.RGBA} {
		for range 60 {
			p := picture.New(mode, 1+rng.IntN(70), 1+rng.IntN(70))
			for i := range p.Pix {
				p.Pix[i] = byte(rng.IntN(2) * 255) // the filter overshoots
				if rng.IntN(2) == 0 {
					p.Pix[i] = byte(rng.IntN(256))
				}
			}
			w, h := 1+rng.IntN(70), 1+rng.IntN(70)
			x, y := rng.IntN(w), rng.IntN(h)
			r := rect{x, y, x + 1 + rng.IntN(w-x), y + 1 + rng.IntN(h-y)}
			for name := range filters {
				hasAVX2 = true
				got, err := resize(p, w, h, r, name)
				if err != nil {
					t.Fatal(err)
				}
				hasAVX2 = false
				want, err := resize(p, w, h, r, name)
				if err != nil {
					t.Fatal(err)
				}
				if string(got.Pix) != string(want.Pix) {
					t.Fatalf("%s: %s of %dx%d to %v of %dx%d: %v, in Go %v", name, mode, p.Width, p.Height, r, w, h, got.Pix, want.Pix)
				}
			}
		}
	}
}
