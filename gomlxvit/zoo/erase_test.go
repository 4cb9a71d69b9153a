package zoo

import (
	"slices"
	"testing"

	"vitdecompose/data/scenes"
)

// TestErasing counts the patches hidden: whole ones, of one colour, as many as the shares say.
func TestErasing(t *testing.T) {
	const n = 200
	hidden := 0
	for i := range uint64(n) {
		pix := scenes.Draw(1, i).Pix
		before := slices.Clone(pix)
		erasing{0.3, 0.9}.hide(pix, 1, i)
		again := slices.Clone(before)
		erasing{0.3, 0.9}.hide(again, 1, i)
		if !slices.Equal(again, pix) {
			t.Fatal("hiding is not a function of seed and index")
		}
		var colour []uint8
		for patch := range 64 {
			changed, first := 0, -1
			for k := range 64 {
				at := 3 * ((patch/8*8+k/8)*64 + patch%8*8 + k%8)
				if first < 0 {
					first = at
				}
				if !slices.Equal(pix[at:at+3], before[at:at+3]) {
					changed++
				}
			}
			if changed == 0 {
				continue
			}
			hidden++
			if colour == nil {
				colour = pix[first : first+3]
			}
			for k := range 64 {
				if at := 3 * ((patch/8*8+k/8)*64 + patch%8*8 + k%8); !slices.Equal(pix[at:at+3], colour) {
					t.Fatalf("picture %d, patch %d is hidden in part, or in two colours", i, patch)
				}
			}
		}
	}
	if share := float64(hidden) / (64 * n); share < 0.55 || share > 0.65 {
		t.Errorf("%.2f of the patches are hidden, want 0.6", share)
	}
	pix := scenes.Draw(1, 0).Pix
	erasing{}.hide(pix, 1, 0)
	if !slices.Equal(pix, scenes.Draw(1, 0).Pix) {
		t.Error("without shares something is hidden")
	}
}
