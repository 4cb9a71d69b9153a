package plots_test

import (
	"math"
	"strings"
	"testing"

	"vitdecompose/experiments"
	"vitdecompose/plots"
)

func TestRanking(t *testing.T) {
	checkGolden(t, map[string]func(){"ranking": ExampleRanking, "ranking_one": ExampleRanking_one})
}

func TestRankingSizes(t *testing.T) {
	var many []experiments.ModelRanking
	for i := range 30 {
		m := agreed(strings.Repeat("m", 3*i+1), float64(i)/40)
		for range 12 {
			m.Features = append(m.Features, experiments.FeatureAgreement{Feature: strings.Repeat("f", len(m.Features))})
		}
		many = append(many, m)
	}
	other := agreed("of other features", 0.5)
	other.Features = []experiments.FeatureAgreement{{Feature: "fabric", Spearman: 1}}
	for name, models := range map[string][]experiments.ModelRanking{
		"many models":     many,
		"other features":  {agreed("a", 0.5), other},
		"two of one name": {other, other},
	} {
		t.Run(name, func(t *testing.T) {
			figure, err := plots.Ranking(experiments.RankingResult{Models: models})
			if err != nil {
				t.Fatal(err)
			}
			if figure.Width != plots.PageWidth {
				t.Errorf("width %v, want %v", figure.Width, plots.PageWidth)
			}
			checkSaved(t, figure, figure.Width, figure.Height)
		})
	}
}

func TestRankingRefuses(t *testing.T) {
	for want, spoil := range map[string]func(m *experiments.ModelRanking){
		"no features":                       func(m *experiments.ModelRanking) { m.Features = nil },
		`feature "texture" twice`:           func(m *experiments.ModelRanking) { m.Features[0].Feature = "texture" },
		`correlation for "texture" NaN`:     func(m *experiments.ModelRanking) { m.Features[1].Spearman = math.NaN() },
		`correlation for "color" -1.2`:      func(m *experiments.ModelRanking) { m.Features[0].Spearman = -1.2 },
		"correlation between components 2":  func(m *experiments.ModelRanking) { m.Between = 2 },
		"correlation within a component +I": func(m *experiments.ModelRanking) { m.Within = math.Inf(1) },
	} {
		m := agreed("swin-mini", 0.5)
		spoil(&m)
		_, err := plots.Ranking(experiments.RankingResult{Models: []experiments.ModelRanking{agreed("a", 0.1), m}})
		wantError(t, err, "ranking figure: swin-mini: "+want)
	}
	_, err := plots.Ranking(experiments.RankingResult{})
	wantError(t, err, "ranking figure: no models")
}
