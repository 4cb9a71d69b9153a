package decompose_test

import (
	"path/filepath"
	"testing"
)

// A Hiera whose positions are a map and a window, and whose stream is widened by maxima and means side by side, as timm 1.0.31
// computes it in float64 (gomlxvit/testdata/hiera.py). The other kind is among the golden families.
func TestHieraOfWindows(t *testing.T) {
	checkOwnCase(t, filepath.Join("..", "gomlxvit", "testdata", "hiera_abswin"))
}
