package plots

import (
	"fmt"
	"strings"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
)

// Drawing is a figure with the name of its file, without an ending.
type Drawing struct {
	Name   string
	Figure Sized
}

// Draw draws what an experiment has found: one figure of all models, or a sheet for each. The sessions are those it was run
// with, in the same order: sheets show their pictures. How a new experiment is drawn is added here.
func Draw(result experiments.Result, sessions []*session.Session) ([]Drawing, error) {
	switch r := result.(type) {
	case experiments.AblationResult:
		return one("ablation")(Ablation(r))
	case experiments.TextRetrievalResult:
		return sheets("text-retrieval", sessions, func(i int, s *session.Session) (*Sheet, error) {
			return TextRetrieval(r.Models[i], s.Pictures(), TextRetrievalOptions{})
		})
	case experiments.RankingResult:
		return one("ranking")(Ranking(r))
	case experiments.ImageRetrievalResult:
		return sheets("image-retrieval", sessions, func(i int, s *session.Session) (*Sheet, error) {
			if len(r.Models[i].Probes) == 0 {
				return nil, nil
			}
			return ImageRetrieval(r.Models[i], s.Pictures())
		})
	case experiments.HeatmapResult:
		return sheets("heatmaps", sessions, func(i int, s *session.Session) (*Sheet, error) {
			return Heatmaps(r.Models[i], s.View(), HeatmapOptions{})
		})
	case experiments.SegmentationResult:
		drawings, err := sheets("segmentation", sessions, func(i int, s *session.Session) (*Sheet, error) {
			return SegmentationSheet(r.Models[i], s.View(), s.View(), SegmentationSheetOptions{})
		})
		if err != nil {
			return nil, err
		}
		all, err := one("segmentation")(Segmentation(r))
		return append(drawings, all...), err
	case experiments.WaterbirdsResult:
		return one("waterbirds")(Waterbirds(r))
	case experiments.AlignmentResult:
		return one("alignment")(Alignment(r))
	case experiments.CausalResult:
		return one("causal")(Causal(r))
	case experiments.SweepResult:
		return one("sweep")(Sweep(r))
	case experiments.Words, experiments.Aligned:
		return nil, nil // tables say all
	}
	return nil, fmt.Errorf("there is no figure for a %T", result)
}

// one is the drawing of a figure of all models.
func one(name string) func(*Figure, error) ([]Drawing, error) {
	return func(figure *Figure, err error) ([]Drawing, error) {
		if err != nil {
			return nil, err
		}
		return []Drawing{{name, figure}}, nil
	}
}

// sheets draws a sheet for each model, named by it; nil is none.
func sheets(name string, sessions []*session.Session, draw func(i int, s *session.Session) (*Sheet, error)) ([]Drawing, error) {
	var drawings []Drawing
	for i, s := range sessions {
		sheet, err := draw(i, s)
		if err != nil {
			return nil, err
		}
		if sheet != nil {
			drawings = append(drawings, Drawing{name + "-" + strings.NewReplacer("/", "_", ":", "_", "\\", "_").Replace(s.Name), sheet})
		}
	}
	return drawings, nil
}
