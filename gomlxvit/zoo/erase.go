package zoo

import (
	"fmt"
	"math/rand/v2"

	"vitdecompose/data/scenes"
)

// erasing hides patches of pictures that are trained on, as DeiT does (random
// erasing, Zhong et al. 2017, arXiv 1708.04896), here patch by patch: a model that
// sees an object in part has to tell it by all of its parts. The share of the
// patches of a picture that are hidden is drawn between least and most; at most 0
// nothing is hidden.
type erasing struct{ least, most float64 }

func (e erasing) String() string {
	if e.most == 0 {
		return ""
	}
	return fmt.Sprintf("; from the restart on %.0f to %.0f %% of the patches hidden", 100*e.least, 100*e.most)
}

// erasedPatch is the side of what is hidden at a time, the patch of the zoo's plain
// transformers.
const erasedPatch = 8

// hide paints patches of the pixels [64 * 64 * 3] of picture (seed, index) over
// with one colour.
func (e erasing) hide(pix []uint8, seed, index uint64) {
	if e.most == 0 {
		return
	}
	random := rand.New(rand.NewPCG(seed, index))
	share := e.least + random.Float64()*(e.most-e.least)
	colour := [3]uint8{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256))}
	const grid = scenes.Size / erasedPatch
	for patch := range grid * grid {
		if random.Float64() >= share {
			continue
		}
		corner := patch/grid*erasedPatch*scenes.Size + patch%grid*erasedPatch
		for i := range erasedPatch * erasedPatch {
			at := corner + i/erasedPatch*scenes.Size + i%erasedPatch
			copy(pix[3*at:], colour[:])
		}
	}
}
