package experiments_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/gomlxvit/golden"
)

// Five maps with masks, counted by the authors' code and scikit-learn's average precision: see the README of
// package golden's testdata.
func TestSegmentationGolden(t *testing.T) {
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	maps, shape := f.Tensor(t, "seg.maps"), f.Shape(t, "seg.maps")
	masks, err := f.Int64("seg.masks")
	require.NoError(t, err)
	binary, err := f.Int64("seg.binary")
	require.NoError(t, err)
	text, err := os.ReadFile(golden.Shared(t, "golden", "numerics.json"))
	require.NoError(t, err)
	var facts struct {
		Seg struct {
			PerImage []struct {
				Correct, Inter, Union, Labeled int
				AP                             float64
			} `json:"per_image"`
			PixAcc, MIoU, MAP float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &facts))
	require.Len(t, facts.Seg.PerImage, shape[0])
	size := shape[1] * shape[2]
	var pictures []experiments.SegmentationCounts
	for i, want := range facts.Seg.PerImage {
		values, mask := maps[i*size:][:size], make([]uint8, size)
		foreground, err := experiments.Foreground(values)
		require.NoError(t, err)
		for k := range mask {
			mask[k] = uint8(masks[i*size+k])
			require.Equal(t, binary[i*size+k] != 0, foreground[k], "picture %d, pixel %d", i, k)
		}
		counts, err := experiments.CountSegmentation(values, mask)
		require.NoError(t, err)
		require.InDelta(t, want.AP, counts.Precision, 1e-12)
		counts.Precision = want.AP
		require.Equal(t, experiments.SegmentationCounts{
			Correct: want.Correct, Intersection: want.Inter, Union: want.Union, Labelled: want.Labeled, Precision: want.AP,
		}, counts)
		pictures = append(pictures, counts)
	}
	score, err := experiments.ScoreSegmentation(pictures)
	require.NoError(t, err)
	require.InDelta(t, facts.Seg.PixAcc, score.PixelAccuracy, 1e-12)
	require.InDelta(t, facts.Seg.MIoU, score.MIoU, 1e-12)
	require.InDelta(t, facts.Seg.MAP, score.MAP, 1e-12)
}

// By hand: of 4, 2, 2, -6 the mean of the positive part over its largest is 1/2, so only the first is foreground. By falling
// value the mask is true, then one of two, then false: precision 1 with half of the recall, 2/3 with the rest.
func TestSegmentationByHand(t *testing.T) {
	counts, err := experiments.CountSegmentation([]float32{4, 2, 2, -6}, []uint8{1, 0, 1, 0})
	require.NoError(t, err)
	require.InDelta(t, 0.5+0.5*2/3, counts.Precision, 1e-12)
	counts.Precision = 0
	require.Equal(t, experiments.SegmentationCounts{Correct: 3, Intersection: 1, Union: 2, Labelled: 4}, counts)
}

func TestSegmentationEdges(t *testing.T) {
	flat, err := experiments.CountSegmentation([]float32{-1, -2}, []uint8{1, 0})
	require.NoError(t, err)
	require.Equal(t, experiments.SegmentationCounts{Correct: 1, Union: 1, Labelled: 2, Precision: 0.5}, flat, "a map without a positive value has no foreground")
	none, err := experiments.CountSegmentation([]float32{1, 0}, []uint8{0, 0})
	require.NoError(t, err)
	require.Zero(t, none.Precision, "there is nothing to recall")
	score, err := experiments.ScoreSegmentation([]experiments.SegmentationCounts{{Correct: 2, Labelled: 2}})
	require.NoError(t, err)
	require.Equal(t, experiments.SegmentationScore{PixelAccuracy: 1, Pictures: 1}, score)

	_, err = experiments.CountSegmentation([]float32{1}, []uint8{1, 0})
	require.ErrorContains(t, err, "a map of 1 pixels and a mask of 2")
	_, err = experiments.CountSegmentation(nil, nil)
	require.ErrorContains(t, err, "no pixels")
	_, err = experiments.Foreground([]float32{1, float32(math.NaN())})
	require.ErrorContains(t, err, "pixel 1 of the map is not finite")
	_, err = experiments.ScoreSegmentation(nil)
	require.ErrorContains(t, err, "no picture")
}
