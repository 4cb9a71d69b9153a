package experiments

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"vitdecompose/data"
	"vitdecompose/experiments/statistics"
)

// SegmentationCounts are what a map of one picture, read as a segmentation of its foreground, gets right against a mask
// (section 5.6 of the protocol of arXiv 2406.01583).
type SegmentationCounts struct {
	Correct      int     `json:"correct"`           // pixels on the right side
	Intersection int     `json:"intersection"`      // foreground in both
	Union        int     `json:"union"`             // foreground in either
	Labelled     int     `json:"labelled"`          // pixels that the mask does not ignore
	Precision    float64 `json:"average_precision"` // of the map before it is cut
}

// Foreground cuts a map in two: negative values count as 0, the rest is divided by the largest, and foreground is what lies
// above the mean of that. A map without a positive value has no foreground. A number that is not finite is an error.
func Foreground(values []float32) ([]bool, error) {
	positive, err := positivePart(values)
	if err != nil {
		return nil, err
	}
	mean := 0.0
	for _, v := range positive {
		mean += float64(v) / float64(len(positive))
	}
	out := make([]bool, len(positive))
	for i, v := range positive {
		out[i] = float64(v) > mean
	}
	return out, nil
}

// positivePart is a map without its negative values, divided by its largest. The division is one of float32, as in the
// authors' code: it makes a few values equal that were not, which the average precision sees.
func positivePart(values []float32) ([]float32, error) {
	if len(values) == 0 {
		return nil, errors.New("the map has no pixels")
	}
	out, largest := make([]float32, len(values)), float32(0)
	for i, v := range values {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("pixel %d of the map is not finite (%v)", i, v)
		}
		out[i] = max(0, v)
		largest = max(largest, out[i])
	}
	for i := range out {
		if largest > 0 {
			out[i] /= largest
		}
	}
	return out, nil
}

// CountSegmentation compares the map of a picture with the mask of its foreground, pixel by pixel: what is not
// [data.MaskBackground] or [data.MaskIgnored] is foreground. Pixels that the mask ignores count for nothing, but have their
// part in where the map is cut.
func CountSegmentation(values []float32, mask []uint8) (SegmentationCounts, error) {
	if len(values) != len(mask) {
		return SegmentationCounts{}, fmt.Errorf("a map of %d pixels and a mask of %d", len(values), len(mask))
	}
	foreground, err := Foreground(values)
	if err != nil {
		return SegmentationCounts{}, err
	}
	positive, err := positivePart(values)
	if err != nil {
		return SegmentationCounts{}, err
	}
	var counts SegmentationCounts
	var known []float32 // values of the pixels that count, and on which side they are
	var object []bool
	for i, v := range mask {
		if v == data.MaskIgnored {
			continue
		}
		is := v != data.MaskBackground
		known, object = append(known, positive[i]), append(object, is)
		counts.Labelled++
		if foreground[i] == is {
			counts.Correct++
		}
		if foreground[i] && is {
			counts.Intersection++
		}
		if foreground[i] || is {
			counts.Union++
		}
	}
	counts.Precision = averagePrecision(known, object)
	return counts, nil
}

// averagePrecision is the area under the curve of precision against recall, in steps, as the threshold falls over the
// values: sum over thresholds of the recall gained times the precision there. Equal values are taken together. A mask
// without foreground has nothing to recall: 0.
func averagePrecision(values []float32, mask []bool) float64 {
	order := statistics.Indices(len(values))
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	all := 0
	for _, is := range mask {
		if is {
			all++
		}
	}
	if all == 0 {
		return 0
	}
	area, found := 0.0, 0
	for first := 0; first < len(order); {
		before, end := found, first
		for end < len(order) && values[order[end]] == values[order[first]] {
			if mask[order[end]] {
				found++
			}
			end++
		}
		area += float64(found-before) / float64(all) * float64(found) / float64(end)
		first = end
	}
	return area
}

// SegmentationScore is a method's score over a data set, each between 0 and 1.
type SegmentationScore struct {
	PixelAccuracy float64 `json:"pixel_accuracy"`
	MIoU          float64 `json:"miou"` // all intersections over all unions, of the foreground
	MAP           float64 `json:"map"`  // mean over pictures of the average precision
	Pictures      int     `json:"pictures"`
}

// ScoreSegmentation sums up pictures. Pixels and unions are accumulated over all of them before they are divided, so that
// large objects weigh more than small ones.
func ScoreSegmentation(pictures []SegmentationCounts) (SegmentationScore, error) {
	if len(pictures) == 0 {
		return SegmentationScore{}, errors.New("no picture was segmented")
	}
	score := SegmentationScore{Pictures: len(pictures)}
	var correct, labelled, intersection, union int
	for _, p := range pictures {
		correct, labelled = correct+p.Correct, labelled+p.Labelled
		intersection, union = intersection+p.Intersection, union+p.Union
		score.MAP += p.Precision / float64(len(pictures))
	}
	if labelled == 0 {
		return SegmentationScore{}, errors.New("the masks ignore every pixel of every picture")
	}
	score.PixelAccuracy = float64(correct) / float64(labelled)
	if union > 0 {
		score.MIoU = float64(intersection) / float64(union)
	}
	return score, nil
}
