package decompose_test

import (
	"os"
	"path/filepath"
	"testing"

	"vitdecompose/decompose"
)

// CoAtNets and MaxViTs with every option that is read, as timm 1.0.31 computes them in float64 (gomlxvit/testdata/maxxvit.py).
// Tokens are not followed through the maxima that two of them have.
func TestMaxxViTs(t *testing.T) {
	dir := filepath.Join("..", "gomlxvit", "testdata", "maxxvit")
	cases, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 14 {
		t.Errorf("%d cases, want 14", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			dir := filepath.Join(dir, c.Name())
			checkOwnCase(t, dir)
			model, io, pixels := loadCase(t, dir)
			maximum := c.Name() == "bn" || c.Name() == "max"
			checkTokenSums(t, model, pixels, maximum, func(c decompose.Component) []float32 { return ownReference(t, io, c) })
		})
	}
}
