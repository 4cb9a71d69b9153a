package decompose_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"vitdecompose/decompose"
	"vitdecompose/gomlxvit/golden"
)

// The ranking agreement of the authors' code on the contributions of scores.*: what it calls rankings are the cosines of
// texts with CLIP's embeddings, and the products of texts with contributions.
func TestRankingAgreementGolden(t *testing.T) {
	f, c := scoresFile(t)
	shape := f.Shape(t, "corr.clip_rankings") // [feature, text, picture]
	features, texts := shape[0], shape[1]
	clip, embeddings := f.Tensor(t, "corr.clip_rankings"), f.Tensor(t, "corr.feature_text_embeds")
	images := f.Tensor(t, "corr.clip_embeds")
	n := len(c.Components)
	var correlations, ours, means []float32
	agreement := make([][]float64, features)
	attributed := make([][]float64, features)
	for feature := range features {
		agreement[feature] = make([]float64, n)
		for text := range texts {
			e := embeddings[(feature*texts+text)*c.Dim:][:c.Dim]
			var ranking []float64
			for picture := range c.Pictures {
				ranking = append(ranking, float64(clip[(feature*texts+text)*c.Pictures+picture]))
				ours = append(ours, float32(product(images[picture*c.Dim:][:c.Dim], e)))
			}
			for i := range n {
				var own []float64
				for picture := range c.Pictures {
					own = append(own, product(c.Row(i, picture), e))
				}
				r := decompose.RankingCorrelation(ranking, own)
				correlations = append(correlations, float32(r))
				agreement[feature][i] += r / float64(texts)
			}
		}
		means = append(means, narrow(agreement[feature])...)
		basis := must[[]float64](t)(decompose.Basis(embeddings[feature*texts*c.Dim:][:texts*c.Dim], c.Dim))
		attributed[feature] = must[[]float64](t)(decompose.VarianceAttributed(c, basis))
	}
	golden.Close(t, "CLIP's rankings", ours, clip, 1e-5)
	golden.Close(t, "correlations", correlations, f.Tensor(t, "corr.order_corrs_coeff"), 1e-5)
	golden.Close(t, "mean correlations", means, f.Tensor(t, "corr.order_corrs_coeff_mean_over_texts"), 1e-5)

	var all, between, pearsons, within []float64
	for feature := range features {
		all = append(all, attributed[feature]...)
		between = append(between, decompose.Spearman(attributed[feature], agreement[feature]))
		pearsons = append(pearsons, decompose.Pearson(attributed[feature], agreement[feature]))
	}
	for i := range n {
		var a, b []float64
		for feature := range features {
			a, b = append(a, attributed[feature][i]), append(b, agreement[feature][i])
		}
		within = append(within, decompose.Spearman(a, b))
	}
	golden.Close(t, "variance attributed", narrow(all), f.Tensor(t, "corr.feature_variance_attributed"), 1e-5)
	golden.Close(t, "Spearman between components", narrow(between), f.Tensor(t, "corr.spearman_between_components"), 1e-5)
	golden.Close(t, "Pearson between components", narrow(pearsons), f.Tensor(t, "corr.pearson_between_components"), 1e-5)
	golden.Close(t, "Spearman within components", narrow(within), f.Tensor(t, "corr.spearman_within_component"), 1e-5)
}

func product(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// Lists with ties, against scipy.
func TestCorrelationTiesGolden(t *testing.T) {
	f, _ := scoresFile(t)
	file, err := os.ReadFile(golden.Shared(t, "golden", "numerics.json"))
	if err != nil {
		t.Fatal(err)
	}
	var facts struct {
		Corr struct {
			Spearman float64 `json:"ties_spearman_scipy"`
			Pearson  float64 `json:"ties_pearson"`
		}
	}
	if err := json.Unmarshal(file, &facts); err != nil {
		t.Fatal(err)
	}
	x, y := wide(f.Tensor(t, "corr.ties_x")), wide(f.Tensor(t, "corr.ties_y"))
	if got := decompose.Spearman(x, y); math.Abs(got-facts.Corr.Spearman) > 1e-6 {
		t.Errorf("Spearman %v, scipy has %v", got, facts.Corr.Spearman)
	}
	if got := decompose.Pearson(x, y); math.Abs(got-facts.Corr.Pearson) > 1e-6 {
		t.Errorf("Pearson %v, want %v", got, facts.Corr.Pearson)
	}
}

func wide(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func TestCorrelationByHand(t *testing.T) {
	if got := fmt.Sprint(decompose.Ranks([]float64{3, 1, 3, 2, 3})); got != "[4 1 4 2 4]" {
		t.Errorf("ranks %s; the three largest share (3+4+5)/3", got)
	}
	nan := math.NaN()
	for name, test := range map[string]struct {
		x, y              []float64
		pearson, spearman float64
	}{
		"in step": {[]float64{1, 2, 3}, []float64{2, 4, 6}, 1, 1},
		"against": {[]float64{1, 2, 3}, []float64{0, -1, -2}, -1, -1},
		// Deviations -4/3, -1/3, 5/3 and -19/6, -16/6, 35/6: their products sum to 267/18, their squares to 14/3 and 1842/36.
		"monotonous":   {[]float64{0, 1, 3}, []float64{0, 0.5, 9}, 267.0 / 18 / math.Sqrt(14.0/3*1842/36), 1},
		"constant":     {[]float64{1, 1, 1}, []float64{1, 2, 3}, nan, nan},
		"almost so":    {[]float64{math.Nextafter(0.3, 1), 0.3, 0.3}, []float64{1, 2, 3}, nan, -0.8660},
		"not a number": {[]float64{1, nan, 3}, []float64{1, 2, 3}, nan, nan},
		"one entry":    {[]float64{1}, []float64{1}, nan, nan},
		"none":         {nil, nil, nan, nan},
		"of two sizes": {[]float64{1, 2}, []float64{1, 2, 3}, nan, nan},
	} {
		same := func(got, want float64) bool { return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) < 1e-4 }
		if got := decompose.Pearson(test.x, test.y); !same(got, test.pearson) {
			t.Errorf("%s: Pearson %v, want %v", name, got, test.pearson)
		}
		if got := decompose.Spearman(test.x, test.y); !same(got, test.spearman) {
			t.Errorf("%s: Spearman %v, want %v", name, got, test.spearman)
		}
	}
	if got := decompose.RankingCorrelation([]float64{1, 2, 3, 4}, []float64{1, 2, 3, 4}); math.Abs(got-0.75) > 1e-12 {
		t.Errorf("ranking correlation of a list of 4 with itself: %v, want 3/4", got)
	}
}
