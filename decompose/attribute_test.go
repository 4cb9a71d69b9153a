package decompose_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// scoresFile holds contributions [6, 64, 12] and what the authors' code and PyTorch 2.15 make of them: see
// the README of package golden's testdata.
func scoresFile(t *testing.T) (golden.File, *decompose.Contributions) {
	t.Helper()
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	shape := f.Shape(t, "scores.contributions")
	c := &decompose.Contributions{Pictures: shape[1], Dim: shape[2], Values: f.Tensor(t, "scores.contributions")}
	for i := range shape[0] {
		c.Components = append(c.Components, fmt.Sprint("c", i))
	}
	return f, c
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAttributeGolden(t *testing.T) {
	f, c := scoresFile(t)
	texts := f.Tensor(t, "scores.text_embeddings")
	basis := must[[]float64](t)(decompose.Basis(texts, c.Dim))
	// Vectors may point either way.
	want := f.Tensor(t, "scores.qr_bases")
	for k := range len(want) / c.Dim {
		if want[k*c.Dim]*float32(basis[k*c.Dim]) < 0 {
			for d := range c.Dim {
				want[k*c.Dim+d] *= -1
			}
		}
	}
	golden.Close(t, "basis", narrow(basis), want, 1e-5)
	golden.Close(t, "variance explained", narrow(must[[]float64](t)(decompose.VarianceExplained(c, basis))), f.Tensor(t, "scores.variance_explained"), 1e-5)
	golden.Close(t, "variance attributed", narrow(must[[]float64](t)(decompose.VarianceAttributed(c, basis))), f.Tensor(t, "scores.variance_attributed"), 1e-5)

	golden.Close(t, "covariance attributed", narrow(must[[]float64](t)(decompose.CovarianceAttributed(c, basis))), f.Tensor(t, "scores.variance_attributed_unnormalised"), 1e-5)

	one := must[[]float64](t)(decompose.Basis(texts[:c.Dim], c.Dim))
	golden.Close(t, "variance explained by one text", narrow(must[[]float64](t)(decompose.VarianceExplained(c, one))), f.Tensor(t, "scores.variance_explained_one_text"), 1e-5)
	golden.Close(t, "variance attributed to one text", narrow(must[[]float64](t)(decompose.VarianceAttributed(c, one))), f.Tensor(t, "scores.variance_attributed_one_text"), 1e-5)
}

// tiny has two components and four pictures in the plane: the first varies by 2 along x alone, the second by 1 along x, in
// step with it, and by 1 along y, out of step.
func tinyContributions() *decompose.Contributions {
	return &decompose.Contributions{Components: []string{"a", "b"}, Pictures: 4, Dim: 2, Values: []float32{
		2, 5, -2, 5, 2, 5, -2, 5,
		1, 1, -1, 1, 1, -1, -1, -1,
	}}
}

// By hand: along x, a scores ±2 and b ±1 in step, so both correlate fully with the total, which by the convention is 3/4
// for four pictures. Along y, a is constant, and b is all of the total. Of a's variance all lies along x; of b's, half.
func TestAttributeByHand(t *testing.T) {
	c := tinyContributions()
	for name, test := range map[string]struct{ basis, explained, attributed, covariance []float64 }{
		"x":    {[]float64{1, 0}, []float64{1, 0.5}, []float64{0.75, 0.75}, []float64{6, 3}},
		"y":    {[]float64{0, 1}, []float64{0, 0.5}, []float64{0, 0.75}, []float64{0, 1}},
		"both": {[]float64{1, 0, 0, 1}, []float64{1, 1}, []float64{0.375, 0.75}, []float64{3, 2}},
	} {
		explained := must[[]float64](t)(decompose.VarianceExplained(c, test.basis))
		attributed := must[[]float64](t)(decompose.VarianceAttributed(c, test.basis))
		covariance := must[[]float64](t)(decompose.CovarianceAttributed(c, test.basis))
		for i := range c.Components {
			if math.Abs(covariance[i]-test.covariance[i]) > 1e-12 {
				t.Errorf("%s: covariance attributed %v, want %v", name, covariance, test.covariance)
			}
			if math.Abs(explained[i]-test.explained[i]) > 1e-12 || math.Abs(attributed[i]-test.attributed[i]) > 1e-12 {
				t.Errorf("%s: explained %v, want %v; attributed %v, want %v", name, explained, test.explained, attributed, test.attributed)
			}
		}
	}
}

func TestBasis(t *testing.T) {
	for name, test := range map[string]struct {
		texts   []float32
		dim     int
		vectors int
		err     string
	}{
		"one text":          {[]float32{3, 4}, 2, 1, ""},
		"a duplicate":       {[]float32{3, 4, 3, 4, 1, 0}, 2, 2, ""},
		"another length":    {[]float32{3, 4, 6, 8}, 2, 1, ""},
		"a sum of others":   {[]float32{1, 0, 0, 0, 1, 0, 0.6, 0.8, 0}, 3, 2, ""},
		"more than dims":    {[]float32{1, 0, 0, 1, 0.6, 0.8}, 2, 2, ""},
		"zero among others": {[]float32{0, 0, 1, 0}, 2, 1, ""},
		"all zero":          {[]float32{0, 0}, 2, 0, "all zero"},
		"empty feature":     {nil, 2, 0, "0 numbers are not text embeddings"},
		"cut short":         {[]float32{1, 2, 3}, 2, 0, "3 numbers are not text embeddings of 2"},
		"NaN":               {[]float32{1, float32(math.NaN())}, 2, 0, "not finite"},
	} {
		basis, err := decompose.Basis(test.texts, test.dim)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want one with %q", name, err, test.err)
			}
			continue
		}
		if err != nil || len(basis) != test.vectors*test.dim {
			t.Errorf("%s: basis %v, error %v; want %d vectors", name, basis, err, test.vectors)
			continue
		}
		for i := range test.vectors {
			for j := range test.vectors {
				product := 0.0
				for d := range test.dim {
					product += basis[i*test.dim+d] * basis[j*test.dim+d]
				}
				if want := map[bool]float64{true: 1}[i == j]; math.Abs(product-want) > 1e-12 {
					t.Errorf("%s: vectors %d and %d have the product %v", name, i, j, product)
				}
			}
		}
	}
}

func TestAttributeEdges(t *testing.T) {
	constant := tinyContributions()
	copy(constant.Values, []float32{1, 1, 1, 1, 1, 1, 1, 1})
	for name, score := range map[string]func(*decompose.Contributions, []float64) ([]float64, error){
		"explained": decompose.VarianceExplained, "attributed": decompose.VarianceAttributed, "covariance attributed": decompose.CovarianceAttributed,
	} {
		if got, err := score(constant, []float64{1, 0}); err != nil || got[0] != 0 || !(got[1] > 0) {
			t.Errorf("%s of a component that does not vary: %v, error %v", name, got, err)
		}
		one := &decompose.Contributions{Components: []string{"a"}, Pictures: 1, Dim: 2, Values: []float32{1, 2}}
		if _, err := score(one, []float64{1, 0}); err == nil || !strings.Contains(err.Error(), "one picture") {
			t.Errorf("%s of one picture: error %v", name, err)
		}
		if _, err := score(tinyContributions(), nil); err == nil || !strings.Contains(err.Error(), "not a basis in 2 dimensions") {
			t.Errorf("%s without a basis: error %v", name, err)
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1)} {
			spoilt := tinyContributions()
			spoilt.Values[9] = float32(bad)
			if _, err := score(spoilt, []float64{0, 1}); err == nil || !strings.Contains(err.Error(), "contributions of b are not finite") {
				t.Errorf("%s with %v: error %v", name, bad, err)
			}
		}
		// Fewer pictures than dims, and more pictures than are looked at in one go.
		for _, pictures := range []int{2, 200} {
			rng := rand.New(rand.NewPCG(1, 1))
			c := &decompose.Contributions{Components: []string{"a", "b", "c"}, Pictures: pictures, Dim: 10, Values: narrow(draw(rng, 30*pictures))}
			got, err := score(c, must[[]float64](t)(decompose.Basis(narrow(draw(rng, 40)), 10)))
			if err != nil {
				t.Errorf("%s of %d pictures: %v", name, pictures, err)
			}
			for _, v := range got {
				if !(v >= -1 && v <= 1) && name != "covariance attributed" {
					t.Errorf("%s of %d pictures: %v", name, pictures, got)
				}
			}
		}
	}
}

// What rounding leaves of a constant is not taken for a score: contributions that binary fractions cannot hold, over numbers
// of pictures whose means cannot either.
func TestAttributeRounding(t *testing.T) {
	for _, pictures := range []int{3, 7, 100, 1001} {
		// a is constant, b varies by multiples of (4, -3) alone, across the basis vector; c varies along it, d takes that back.
		c := &decompose.Contributions{Components: []string{"a", "b", "c", "d"}, Pictures: pictures, Dim: 2, Values: make([]float32, 8*pictures)}
		for picture := range pictures {
			x := float32(picture*picture%5) + 0.25
			y := 0.1 * float32(picture*picture%7)
			copy(c.Row(0, picture), []float32{0.1, 0.37})
			copy(c.Row(1, picture), []float32{4 * x, -3 * x})
			copy(c.Row(2, picture), []float32{y, 0.7 * y})
			copy(c.Row(3, picture), []float32{-y, -0.7 * y})
		}
		basis := []float64{0.6, 0.8}
		if got := must[[]float64](t)(decompose.VarianceExplained(c, basis)); got[0] != 0 || got[1] != 0 || !(got[2] > 0.9) {
			t.Errorf("%d pictures: explained %v, want 0 of a and b", pictures, got)
		}
		if got := must[[]float64](t)(decompose.VarianceAttributed(c, basis)); fmt.Sprint(got) != "[0 0 0 0]" {
			t.Errorf("%d pictures: attributed %v, want 0: the total does not vary", pictures, got)
		}
		c.Components, c.Values = c.Components[:3], c.Values[:6*pictures]
		got := must[[]float64](t)(decompose.VarianceAttributed(c, basis))
		if want := 1 - 1/float64(pictures); got[0] != 0 || got[1] != 0 || math.Abs(got[2]-want) > 1e-12 {
			t.Errorf("%d pictures: attributed %v, want 0, 0 and %v", pictures, got, want)
		}
	}
	// The text that is at fault is named, whether or not those before it added vectors.
	_, err := decompose.Basis([]float32{1, 0, 1, 0, 1, float32(math.NaN())}, 2)
	if err == nil || !strings.Contains(err.Error(), "text embedding 2") {
		t.Errorf("error %v, want text embedding 2", err)
	}
}

func draw(rng *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = rng.NormFloat64()
	}
	return out
}

func TestMarginAndOrder(t *testing.T) {
	scores := [][]float64{{5, 1, 3}, {4, 2, 0}, {0, 0, 2.5}}
	for feature, want := range [][]float64{{1, -1, 0.5}, {-1, 1, -3}, {-5, -2, -0.5}} {
		got := decompose.Margin(scores, feature)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("margin of feature %d: %v, want %v", feature, got, want)
			}
		}
	}
	if got := decompose.Margin(scores[:1], 0); got[0] != 5 || got[2] != 3 {
		t.Errorf("margin of the only feature: %v, want its scores", got)
	}
	if got := fmt.Sprint(decompose.Order([]float64{1, math.NaN(), 3, 1, math.Inf(-1)})); got != "[2 0 3 4 1]" {
		t.Errorf("order %s", got)
	}
}

func ExampleVarianceAttributed() {
	// One component varies along the first axis, the other along both.
	c := &decompose.Contributions{Components: []string{"layer:00, mlp", "layer:01, mlp"}, Pictures: 4, Dim: 2, Values: []float32{
		2, 5, -2, 5, 2, 5, -2, 5,
		1, 1, -1, 1, 1, -1, -1, -1,
	}}
	basis, err := decompose.Basis([]float32{0, 1}, 2) // the embedding of one text
	if err != nil {
		fmt.Println(err)
		return
	}
	scores, err := decompose.VarianceAttributed(c, basis)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, i := range decompose.Order(scores) {
		fmt.Printf("%s: %.2f\n", c.Components[i], scores[i])
	}
	// Output:
	// layer:01, mlp: 0.75
	// layer:00, mlp: 0.00
}

func BenchmarkVarianceAttributed(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := &decompose.Contributions{Components: make([]string, 4), Pictures: 6400, Dim: 768, Values: narrow(draw(rng, 4*6400*768))}
	basis, err := decompose.Basis(narrow(draw(rng, 7*768)), 768)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := decompose.VarianceAttributed(c, basis); err != nil {
			b.Fatal(err)
		}
	}
}
