package plots

import (
	"cmp"
	"errors"
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vitdecompose/experiments"
)

// Alignment draws the alignment quality by method: the cosine similarity on held-out pictures on the left, the match
// rate of descriptions on the right, where a thin dash below or above each mark is what chance gives.
func Alignment(result experiments.AlignmentResult) (*Figure, error) {
	return laidOut("alignment figure", PageWidth, func(width vg.Length) (*Figure, error) { return alignment(result, width) })
}

// alignment is [Alignment] for a width.
func alignment(result experiments.AlignmentResult, width vg.Length) (*Figure, error) {
	if len(result.Models) == 0 {
		return nil, errors.New("no models")
	}
	var methods indexer
	count := make(map[string]int) // models, by method
	for _, m := range result.Models {
		if err := checkAlignment(m); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Model, err)
		}
		for _, method := range m.Methods {
			methods.of(method.Name)
			count[method.Name]++
		}
	}
	columns := panelsWithin(width, 2*vg.Inch, 2, 2)
	inner := panelWidth(width, columns) - 35 // of what is drawn in a panel, about
	panel := func(title, label string, top float64) *plot.Plot {
		p := newPlot()
		p.Title.Text = title
		p.Y.Label.Text = label
		nameAxis(p, methods.names, inner)
		p.Y.Min, p.Y.Max = 0, top
		return p
	}
	left := panel("held-out pictures", "cosine similarity", 1)
	right := panel("descriptions of components", "match rate (%)", 100)

	most := 0
	for _, n := range count {
		most = max(most, n)
	}
	apart := inner / vg.Length(len(methods.names)) * besideOthers / vg.Length(most)
	chances := &dots{look: look{marker: draw.GlyphStyle{Color: ink, Radius: min(0.35*apart, legendMarker/2), Shape: dash{}}}}
	drawn := make(map[string]int) // models, by method
	var cosines, rates []*dots
	var entries []entry
	for i, m := range result.Models {
		look := look{marker: lookOf(i).marker} // no line joins methods
		cosine, rate := &dots{look: look}, &dots{look: look}
		for _, method := range m.Methods {
			x := float64(methods.of(method.Name)) + beside(drawn[method.Name], count[method.Name], most)
			drawn[method.Name]++
			cosine.dots = append(cosine.dots, plainDot(x, method.Cosine))
			rate.dots = append(rate.dots, plainDot(x, 100*method.MatchRate))
			chances.dots = append(chances.dots, plainDot(x, 100*method.Chance))
		}
		cosines, rates = append(cosines, cosine), append(rates, rate)
		entries = append(entries, entry{m.Model, look})
	}
	right.Add(chances)
	for i := range cosines {
		left.Add(cosines[i])
		right.Add(rates[i])
	}
	if left.Y.Min < 0 {
		left.Add(level(0))
	}
	chance := chances.look
	chance.marker.Radius = legendMarker / 2
	f := newGrid(width, 2.2*vg.Inch, columns, append(entries, entry{"chance", chance}), []*plot.Plot{left, right})
	f.caption = Caption{"Ways of mapping components into CLIP's space", []string{
		fmt.Sprintf("Models: %s.", listed(eachOf(result.Models, func(m experiments.ModelAlignment) string { return m.Model }))),
		"First panel: cosine similarity of the mapped representation with CLIP's embedding of the same picture, mean over held-out pictures.",
		"Second panel: of the texts that describe a component through the mapping, how many describe it through the model's own head too, mean over the components that matter most; a dash is what texts drawn at random give.",
		"One map is a single linear map for all components, lambda the weight of keeping one map for each component close to an isometry, and identity the space of a CLIP, which needs no map.",
	}}
	return f, nil
}

func checkAlignment(m experiments.ModelAlignment) error {
	if len(m.Methods) == 0 {
		return errors.New("no methods")
	}
	seen := make(map[string]bool)
	for _, method := range m.Methods {
		if seen[method.Name] {
			return fmt.Errorf("method %q twice", method.Name)
		}
		seen[method.Name] = true
		err := cmp.Or(within("cosine similarity", method.Cosine, -1, 1), within("match rate", method.MatchRate, 0, 1),
			within("chance", method.Chance, 0, 1))
		if err != nil {
			return fmt.Errorf("%s: %w", method.Name, err)
		}
	}
	return nil
}
