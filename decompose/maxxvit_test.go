package decompose_test

import (
	"os"
	"path/filepath"
	"testing"
)

// CoAtNets and MaxViTs with every option that is read, as timm 1.0.31 computes them in float64 (gomlxvit/testdata/maxxvit.py).
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
		t.Run(c.Name(), func(t *testing.T) { checkOwnCase(t, filepath.Join(dir, c.Name())) })
	}
}
