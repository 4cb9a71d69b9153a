package gomlxvit

import (
	"math"
	"testing"
)

// References: timm 1.0.31's resample_abs_pos_embed (PyTorch 2.15, bicubic, antialiased), one prefix row, two channels,
// on the values made by positionRamp.
var resampleReferences = []struct {
	from, to int
	want     []float64
}{
	{4, 6, []float64{
		-1.0, 0.7, -0.321797, -0.911842, 0.285604, -0.5387, 0.539129, 0.120709, -0.795727, 0.882416, -0.632817, 0.073839,
		-0.106579, -0.86785, 0.333359, -0.490944, 0.13391, 0.035294, -0.197032, 0.51457, -0.538099, 0.173502, -0.058824,
		-0.157439, 0.467415, -0.356889, 0.662375, 0.243954, -0.121542, 0.59006, -0.751814, 0.627522, 0.016667, -0.469642,
		0.495942, -0.154793, 0.705814, 0.43976, -0.605814, 1.072329, -0.395942, 0.315659, 0.083334, -0.402976, 0.851813,
		-0.007624, 0.221541, 0.660675, -0.562375, 1.146241, -0.367415, 0.339241, 0.158824, 0.060208, 0.638099, -0.012636,
		0.297031, 0.736166, -0.03391, 0.663322, -0.233359, 0.384288, 0.206579, -0.554692, 0.732817, -0.091486, 0.895727,
		0.629673, -0.43913, 1.269487, -0.185604, 0.432043, 0.421797, -0.500745,
	}},
	{5, 3, []float64{
		-1.0, 0.7, -0.129231, -0.160899, -0.10508, 0.291449, 0.063077, -0.079101, 0.17585, 0.486469, 0.249757, -0.051206,
		0.22415, 0.617717, 0.336923, -0.302272, -0.276672, -0.109732, 0.529231, -0.102343,
	}},
}

func positionRamp(grid int) []float32 {
	var data []float32
	for i := range grid*grid + 1 {
		for j := range 2 {
			data = append(data, float32((i*31+j*17)%23)/10-1)
		}
	}
	return data
}

func TestResamplePositions(t *testing.T) {
	for _, reference := range resampleReferences {
		from := Param{Dims: []int{1, reference.from*reference.from + 1, 2}, positionPrefix: 1}
		to := Param{Dims: []int{1, reference.to*reference.to + 1, 2}, positionPrefix: 1}
		got := resamplePositions(positionRamp(reference.from), from, to)
		if len(got) != len(reference.want) {
			t.Fatalf("%d to %d: %d numbers, want %d", reference.from, reference.to, len(got), len(reference.want))
		}
		for i, want := range reference.want {
			if math.Abs(float64(got[i])-want) > 2e-6 {
				t.Errorf("%d to %d: element %d is %v, want %v", reference.from, reference.to, i, got[i], want)
			}
		}
	}
}

// References: the examples of PyTorch's documentation of Upsample (2 x 2 to 4 x 4).
func TestBilinearPositions(t *testing.T) {
	for filter, want := range map[positionFilter][]float32{
		bilinearFilter: {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4},
		cornersFilter:  {1, 1.3333, 1.6667, 2, 1.6667, 2, 2.3333, 2.6667, 2.3333, 2.6667, 3, 3.3333, 3, 3.3333, 3.6667, 4},
	} {
		got := resamplePositions([]float32{1, 2, 3, 4}, Param{Dims: []int{1, 4, 1}}, Param{Dims: []int{1, 16, 1}, filter: filter})
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-4 {
				t.Errorf("%s: element %d is %v, want %v", filter, i, got[i], want[i])
			}
		}
	}
	for name, want := range map[string]positionFilter{
		"flexivit_base": bilinearFilter, "vit_so400m_patch16_radio_v4": bilinearFilter, "vit_huge_patch16_radio_v3": cornersFilter,
		"vit_base_patch16_224": antialiasedFilter,
	} {
		arch, err := Lookup(name)
		if err != nil || arch.(*ViTConfig).filter != want {
			t.Errorf("%s: %v (%v), want the filter %q", name, arch, err, want)
		}
	}
}
