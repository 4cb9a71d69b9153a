package experiments

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vitdecompose/data"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/saliency"
)

// Zero-shot segmentation, experiment 6 of arXiv 2406.01583:
//
//	vitdecompose run segmentation --out results/segmentation
//
// The logit of the true class is taken apart by image token. What the tokens at each position add, over the decomposed
// blocks, is a map; resized to the picture and cut at its mean it is a segmentation, of a model that never saw one. GradCAM
// and, for plain transformers, the method of Chefer et al. are measured on the same pictures by the same evaluator. The
// paper finds the decomposition ahead of both for every model.

// SegmentationConfig says how it is done.
type SegmentationConfig struct {
	// Methods are compared; nil for all that the model allows.
	Methods []string `json:"methods"`
	// Examples is how many pictures, from the first on, are shown.
	Examples int `json:"examples" flag:"examples" default:"4" min:"1" help:"how many pictures, from the first on, are shown"` // 0: 4
}

func (c *SegmentationConfig) fill(context.Context, *session.Session) error { return settle(c) }

// The ways to segment that experiment 6 compares.
const (
	ByDecomposition = "decomposition"
	ByGradCAM       = "GradCAM"
	ByChefer        = "Chefer"
)

// MethodScore is how well one method finds the objects of a model's pictures.
type MethodScore struct {
	Method string `json:"method"`
	SegmentationScore
}

// SegmentationMap is what a method says of a picture: a saliency for each position of the model's grid. The largest is 1; what
// is below 0 speaks against the class.
type SegmentationMap struct {
	Method  string    `json:"method"`
	Rows    int       `json:"rows"`
	Columns int       `json:"columns"`
	Values  []float32 `json:"values"` // [Rows*Columns], row by row
}

// SegmentationExample is one picture with its maps, for a figure.
type SegmentationExample struct {
	Picture int               `json:"picture"` // position in the data
	Name    string            `json:"name"`
	Class   string            `json:"class"` // the true one, whose logit is taken apart
	Maps    []SegmentationMap `json:"maps"`
}

// ModelSegmentation is experiment 6 of arXiv 2406.01583 for one model.
type ModelSegmentation struct {
	Model    string                `json:"model"`
	Blocks   string                `json:"blocks"` // that were decomposed
	Pictures int                   `json:"pictures"`
	Scores   []MethodScore         `json:"scores"`
	Examples []SegmentationExample `json:"examples"`
}

// SegmentationResult is experiment 6 for one model or more.
type SegmentationResult struct {
	Models []ModelSegmentation `json:"models"`
}

// Segmentation segments the pictures of a session, whose data has masks and labels that mean the model's classes, by the
// blocks of the paper's segmentation or the session's.
func Segmentation(ctx context.Context, s *session.Session, config SegmentationConfig) (ModelSegmentation, error) {
	result := ModelSegmentation{Model: s.Name}
	if err := config.fill(ctx, s); err != nil {
		return result, err
	}
	e, err := s.Segmented(ctx)
	if err != nil {
		return result, err
	}
	e.SetDefaults()
	switch {
	case !data.HasMasks(e.Data):
		return result, errors.New("it is not known where the objects are in these pictures; segmentation needs pictures with masks, `vitdecompose heatmap --class` does not")
	case e.Orient:
		return result, errors.New("option Orient cannot be used with masks, which have the orientation of the picture files")
	}
	if err := e.CheckLabels(e.Model.Arch.NumClasses()); err != nil {
		return result, err
	}
	methods := config.Methods
	if methods == nil {
		methods = []string{ByDecomposition, ByGradCAM}
		if c, err := saliency.NewChefer(e.Backend, e.Model); err == nil {
			c.Close()
			methods = append(methods, ByChefer)
		}
	}
	blocks := e.Model.Arch.Blocks()
	first, last := blocks[e.Options.First], blocks[len(blocks)-1]
	if e.Options.End > 0 {
		last = blocks[e.Options.End-1]
	}
	result.Blocks = fmt.Sprintf("%s to %s", first, strings.TrimPrefix(last.String(), "layer:"))

	maps := make([]*pictureMaps, len(methods))
	for i, method := range methods {
		var err error
		if maps[i], err = mapPictures(ctx, e, method); err != nil {
			return result, fmt.Errorf("%s: %w", e.Model.Name, err)
		}
	}
	counts, err := countAll(ctx, &e, methods, maps)
	if err != nil {
		return result, fmt.Errorf("%s: %w", e.Model.Name, err)
	}
	for i, method := range methods {
		score, err := ScoreSegmentation(counts[i])
		if err != nil {
			return result, fmt.Errorf("%s: %s: %w", e.Model.Name, method, err)
		}
		result.Scores = append(result.Scores, MethodScore{method, score})
		result.Pictures = score.Pictures
	}
	for position, index := range maps[0].index {
		if len(result.Examples) == config.Examples {
			break
		}
		item := e.Data.Item(index)
		if item.Label < 0 {
			continue
		}
		example := SegmentationExample{Picture: index, Name: item.Name, Class: className(e.Model.ClassNames, item.Label)}
		for i, method := range methods {
			example.Maps = append(example.Maps, SegmentationMap{
				Method: method, Rows: maps[i].side, Columns: maps[i].side, Values: overLargest(maps[i].values[position]),
			})
		}
		result.Examples = append(result.Examples, example)
	}
	return result, nil
}

// overLargest divides a map by its largest value, if that is positive.
func overLargest(values []float32) []float32 {
	out := slices.Clone(values)
	if largest := slices.Max(values); largest > 0 {
		for i := range out {
			out[i] /= largest
		}
	}
	return out
}

// className is the name of a class, its number where it has none.
func className(names []string, class int) string {
	if class < len(names) {
		return names[class]
	}
	return "class " + strconv.Itoa(class)
}

// countAll compares all maps with the masks, on all cores: [method][picture].
func countAll(ctx context.Context, e *extraction.Extraction, methods []string, maps []*pictureMaps) ([][]SegmentationCounts, error) {
	pictures := len(maps[0].index)
	counts := make([][]SegmentationCounts, len(methods))
	for i := range counts {
		counts[i] = make([]SegmentationCounts, pictures)
	}
	e.Progress.Start("segmenting pictures", pictures)
	defer e.Progress.Done()
	errs := make([]error, pictures)
	next := make(chan int)
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for position := range next {
				errs[position] = countPicture(e, maps, position, counts)
				e.Progress.Add(1)
			}
		})
	}
	for position := range pictures {
		if ctx.Err() != nil {
			break
		}
		next <- position
	}
	close(next)
	running.Wait()
	if err := errors.Join(ctx.Err(), errors.Join(errs...)); err != nil {
		return nil, err
	}
	// Pictures without a label have no map to look at, and no pixel was counted.
	for i := range counts {
		counts[i] = slices.DeleteFunc(counts[i], func(c SegmentationCounts) bool { return c.Labelled == 0 })
	}
	return counts, nil
}

// countPicture compares the maps of a picture with its mask.
func countPicture(e *extraction.Extraction, maps []*pictureMaps, position int, counts [][]SegmentationCounts) error {
	index := maps[0].index[position]
	item := e.Data.Item(index)
	if item.Label < 0 {
		return nil
	}
	mask, err := e.MaskView(index)
	if err != nil {
		return err
	}
	side := e.Model.Arch.InputSize()
	for i, m := range maps {
		full := saliency.Resize(m.values[position], m.side, m.side, side, side)
		if counts[i][position], err = CountSegmentation(full, mask); err != nil {
			return fmt.Errorf("%s: %w", item.Name, err)
		}
	}
	return nil
}

// Summary says the scores of each method.
func (m ModelSegmentation) Summary() []string {
	var lines []string
	for _, s := range m.Scores {
		lines = append(lines, fmt.Sprintf("%s: pixel accuracy %.3f, mIoU %.3f, mAP %.3f", s.Method, s.PixelAccuracy, s.MIoU, s.MAP))
	}
	return lines
}

// Table lists the scores.
func (r SegmentationResult) Table() results.Table {
	table := results.Table{Header: []string{"model", "pictures", "blocks", "method", "pixel_accuracy", "foreground_iou", "mean_average_precision"}}
	for _, model := range r.Models {
		for _, s := range model.Scores {
			table.Rows = append(table.Rows, []string{model.Model, strconv.Itoa(model.Pictures), model.Blocks, s.Method,
				results.Rounded(s.PixelAccuracy), results.Rounded(s.MIoU), results.Rounded(s.MAP)})
		}
	}
	return table
}
