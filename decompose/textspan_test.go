package decompose_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// Order, deviations and explained shares of the authors' function, on a bank whose texts are not of unit length: see
// the README of package golden's testdata.
func TestTextSpanGolden(t *testing.T) {
	f := golden.Open(t, golden.Shared(t, "golden"), "numerics.safetensors")
	file, err := os.ReadFile(golden.Shared(t, "golden", "numerics.json"))
	if err != nil {
		t.Fatal(err)
	}
	var facts struct {
		TextSpan struct {
			Order     []int
			Explained []float64
			Rank6     []int `json:"rank6_order"`
		} `json:"textspan"`
	}
	if err := json.Unmarshal(file, &facts); err != nil {
		t.Fatal(err)
	}
	data, bank, dim := f.Tensor(t, "textspan.data"), f.Tensor(t, "textspan.text_bank"), f.Shape(t, "textspan.data")[1]
	for name, test := range map[string]struct {
		opts  decompose.TextSpanOptions
		order []int
		std   string
	}{
		"no projection": {decompose.TextSpanOptions{}, facts.TextSpan.Order, "textspan.selected_std"},
		"rank 6":        {decompose.TextSpanOptions{Texts: 6, Rank: 6}, facts.TextSpan.Rank6, "textspan.rank6_selected_std"},
	} {
		found, err := decompose.TextSpan(data, dim, bank, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var deviations, explained []float32
		for _, d := range found {
			order, deviations, explained = append(order, d.Text), append(deviations, float32(d.Deviation)), append(explained, float32(d.Explained))
		}
		if !slices.Equal(order, test.order) || len(order) == 0 {
			t.Errorf("%s: order %v, want %v", name, order, test.order)
			continue
		}
		golden.Close(t, name+": deviations", deviations, f.Tensor(t, test.std), 1e-5)
		if test.opts.Rank == 0 {
			golden.Close(t, name+": explained", explained, narrow(facts.TextSpan.Explained), 1e-5)
		}
	}
}

// plainTextSpan projects all data on all texts at each step.
func plainTextSpan(rows []float32, dim int, bank []float32, count, rank int) (order []int, deviations []float64) {
	data, texts := mat.NewDense(len(rows)/dim, dim, wide(rows)), mat.NewDense(len(bank)/dim, dim, wide(bank))
	n, m := len(rows)/dim, len(bank)/dim
	if rank > 0 {
		var svd mat.SVD
		svd.Factorize(data, mat.SVDThin)
		var v, top mat.Dense
		svd.VTo(&v)
		top.CloneFrom(v.Slice(0, dim, 0, min(rank, n, dim)))
		var coordinates mat.Dense
		coordinates.Mul(texts, &top)
		texts.Mul(&coordinates, top.T())
	}
	for d := range dim {
		centre := mat.Sum(data.ColView(d)) / float64(n)
		for i := range n {
			data.Set(i, d, data.At(i, d)-centre)
		}
	}
	for range count {
		best, most := -1, 1e-9
		for t := range m {
			var scores mat.VecDense
			scores.MulVec(data, texts.RowView(t))
			if deviation := mat.Norm(&scores, 2) / math.Sqrt(float64(n-1)); deviation > most { // centred already
				best, most = t, deviation
			}
		}
		if best < 0 {
			break
		}
		order, deviations = append(order, best), append(deviations, most)
		u := mat.VecDenseCopyOf(texts.RowView(best))
		u.ScaleVec(1/mat.Norm(u, 2), u)
		for _, x := range []*mat.Dense{data, texts} {
			var along mat.VecDense
			along.MulVec(x, u)
			x.RankOne(x, -1, &along, u)
		}
	}
	return order, deviations
}

func TestTextSpanIsPlain(t *testing.T) {
	for _, size := range []struct{ pictures, dim, texts, count, rank int }{
		{50, 8, 30, 6, 0}, {50, 8, 30, 5, 5}, {5, 12, 40, 10, 0}, {5, 12, 40, 10, 3}, {5, 12, 40, 3, 99}, {300, 20, 200, 15, 0}, {2, 4, 9, 4, 0},
	} {
		rng := rand.New(rand.NewPCG(4, uint64(size.pictures)))
		rows, bank := narrow(draw(rng, size.pictures*size.dim)), narrow(draw(rng, size.texts*size.dim))
		found, err := decompose.TextSpan(rows, size.dim, bank, decompose.TextSpanOptions{Texts: size.count, Rank: size.rank})
		if err != nil {
			t.Fatal(err)
		}
		order, deviations := plainTextSpan(rows, size.dim, bank, size.count, size.rank)
		var got []int
		for i, d := range found {
			got = append(got, d.Text)
			if i < len(deviations) && math.Abs(d.Deviation-deviations[i]) > 1e-6*deviations[0] {
				t.Errorf("%+v: deviation %d is %v, want %v", size, i, d.Deviation, deviations[i])
			}
			if d.Explained > 1+1e-9 || i > 0 && d.Explained < found[i-1].Explained {
				t.Errorf("%+v: explained %v after %v", size, d.Explained, found[max(0, i-1)].Explained)
			}
		}
		if !slices.Equal(got, order) {
			t.Errorf("%+v: order %v, want %v", size, got, order)
		}
	}
}

func TestTextSpanEdges(t *testing.T) {
	rows := []float32{1, 0, -1, 0, 3, 1, -3, -1} // four pictures in the plane
	for name, test := range map[string]struct {
		rows, bank []float32
		opts       decompose.TextSpanOptions
		order      string
		err        string
	}{
		"duplicates are found once": {rows, []float32{0, 1, 1, 0, 1, 0}, decompose.TextSpanOptions{}, "[1 0]", ""},
		"one text":                  {rows, []float32{0, 1}, decompose.TextSpanOptions{}, "[0]", ""},
		"nothing varies":            {[]float32{1, 2, 1, 2}, []float32{0, 1}, decompose.TextSpanOptions{}, "[]", ""},
		"a constant, rounded":       {slices.Repeat([]float32{0.1, 0.37}, 7), []float32{0, 1}, decompose.TextSpanOptions{}, "[]", ""},
		"varies elsewhere":          {[]float32{1, 2, 5, 2}, []float32{0, 1}, decompose.TextSpanOptions{}, "[]", ""},
		"a text of length 0":        {rows, []float32{0, 0, 1, 0}, decompose.TextSpanOptions{}, "[1]", ""},
		"large rank":                {rows, []float32{0, 1, 1, 0}, decompose.TextSpanOptions{Rank: 50}, "[1 0]", ""},
		"no texts":                  {rows, nil, decompose.TextSpanOptions{}, "", "no texts"},
		"one picture":               {rows[:2], []float32{0, 1}, decompose.TextSpanOptions{}, "", "two pictures"},
		"cut short":                 {rows[:3], []float32{0, 1}, decompose.TextSpanOptions{}, "", "not rows of 2 dimensions"},
		"negative rank":             {rows, []float32{0, 1}, decompose.TextSpanOptions{Rank: -1}, "", "rank -1"},
		"NaN":                       {[]float32{1, 0, float32(math.NaN()), 0}, []float32{0, 1}, decompose.TextSpanOptions{}, "", "not finite"},
		"NaN and rank":              {[]float32{1, 0, float32(math.NaN()), 0}, []float32{0, 1}, decompose.TextSpanOptions{Rank: 1}, "", "not finite"},
		"a text without end":        {rows, []float32{1, 0, 0, float32(math.Inf(1))}, decompose.TextSpanOptions{}, "", "not finite"},
		"NaN in a text":             {rows, []float32{0, float32(math.NaN())}, decompose.TextSpanOptions{}, "", "not finite"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := decompose.TextSpan(test.rows, 2, test.bank, test.opts)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want one with %q", err, test.err)
				}
				return
			}
			order := []int{}
			for _, d := range found {
				order = append(order, d.Text)
			}
			if err != nil || fmt.Sprint(order) != test.order {
				t.Errorf("order %v, error %v; want %s", order, err, test.order)
			}
		})
	}
}

func ExampleTextSpan() {
	texts := []string{"red", "striped"}
	bank := []float32{1, 0, 0.6, 0.8} // their embeddings
	component := []float32{
		2, 1, // what it contributed to four pictures
		-2, 1,
		2, -1,
		-2, -1,
	}
	found, err := decompose.TextSpan(component, 2, bank, decompose.TextSpanOptions{Texts: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range found {
		fmt.Printf("%s: %.0f %% explained\n", texts[d.Text], 100*d.Explained)
	}
	// Output:
	// red: 80 % explained
	// striped: 100 % explained
}

func BenchmarkTextSpan(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	rows, bank := narrow(draw(rng, 6400*768)), narrow(draw(rng, 3500*768))
	for b.Loop() {
		if _, err := decompose.TextSpan(rows, 768, bank, decompose.TextSpanOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
