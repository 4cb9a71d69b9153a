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
	Examples int `json:"examples"`
}

// Segmentation segments the pictures of an extraction, whose model has a head and whose data has masks and labels that mean
// the model's classes. The extraction's Options say which blocks are decomposed: see [SegmentationBlocks].
func Segmentation(ctx context.Context, e Extraction, config SegmentationConfig) (SegmentationModel, error) {
	result := SegmentationModel{Model: e.Model.Name}
	e.setDefaults()
	switch {
	case !data.HasMasks(e.Data):
		return result, errors.New("nothing is known of where the objects of these pictures are; segmentation needs pictures with masks")
	case e.Orient:
		return result, errors.New("--orient does not go with masks, which lie as the files have the pictures")
	}
	if err := e.checkLabels(e.Model.Arch.NumClasses()); err != nil {
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
		if maps[i], err = e.maps(ctx, method); err != nil {
			return result, fmt.Errorf("%s: %w", e.Model.Name, err)
		}
	}
	counts, err := e.count(ctx, methods, maps)
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

// count compares all maps with the masks, on all cores: [method][picture].
func (e *Extraction) count(ctx context.Context, methods []string, maps []*pictureMaps) ([][]SegmentationCounts, error) {
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
				errs[position] = e.countPicture(maps, position, counts)
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
func (e *Extraction) countPicture(maps []*pictureMaps, position int, counts [][]SegmentationCounts) error {
	index := maps[0].index[position]
	item := e.Data.Item(index)
	if item.Label < 0 {
		return nil
	}
	mask, err := MaskView(e, index)
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

// MaskView is the mask of picture i of an extraction's data where the model sees the picture: [side*side].
func MaskView(e *Extraction, i int) ([]uint8, error) {
	mask, err := data.MaskOf(e.Data, i)
	if err != nil {
		return nil, err
	}
	if err := mask.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Data.Item(i).Name, err)
	}
	values, err := e.Model.Preprocess.Mask(mask.Pix, mask.Width, mask.Height, data.MaskIgnored)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Data.Item(i).Name, err)
	}
	return values, nil
}

// Table lists the scores.
func (r SegmentationResult) Table() Table {
	table := Table{Header: []string{"model", "pictures", "blocks", "method", "pixel_accuracy", "foreground_iou", "mean_average_precision"}}
	for _, model := range r.Models {
		for _, s := range model.Scores {
			table.Rows = append(table.Rows, []string{model.Model, strconv.Itoa(model.Pictures), model.Blocks, s.Method,
				rounded(s.PixelAccuracy), rounded(s.MIoU), rounded(s.MAP)})
		}
	}
	return table
}
