package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots"
)

// heatmap draws over pictures of the user's own.
type heatmap struct {
	Texts   []string
	Class   string `flag:"class" takes:"CLASS" usual:"the best one" help:"the class whose logit is taken apart: its name or index"`
	Contact bool   `flag:"contact" help:"draw every head separately, not only their sum"`
	Common  bool   `flag:"common-scale" help:"one colour scale for all maps, so that they compare; without it each map uses all colours"`
	Top     int    `flag:"top" min:"1" usual:"0, or all with --contact" help:"draw the N heads that count most separately"`
	Mask    string `flag:"mask" takes:"FILE|FOLDER" help:"PNG mask of the picture, 0 where its object is not, or a folder with a mask of the same name for each picture: says how well the maps outline the object"`
	Heads   int    `flag:"heads" default:"3" min:"1" help:"how many heads, those that explain a text best, have their maps summed"`
	Out     string `flag:"out" takes:"DIR" usual:"results/heatmap" help:"directory for the figures and numbers"`

	c       *cobra.Command
	meta    results.Meta // what result.json says
	options session.Options
	figures figureFlags
}

// Options that only one of the two ways to draw uses.
var (
	ofTexts   = []string{"data", "training", "alignment", "aligner", "seed"}
	ofClasses = []string{"classes", "head"}
)

func newHeatmap() *cobra.Command {
	var r heatmap
	c := &cobra.Command{
		Use:   "heatmap (IMAGE|FOLDER)...",
		Short: "Draw over pictures where a model finds a text or a class",
		Long: `Draw over pictures where a model finds something: the contributions of the image tokens
that attention heads read, at the places of these tokens, red where they speak for it and
blue where they speak against.

Without --text the logit of a class is taken apart: the model's best class, or that of
--class. With --text it is the product with the text in CLIP's space; the heads that
explain the text best are found on the pictures of --data. --contact draws every head
separately, --top 5 the five that count most. Many pictures become figures of 24 each.`,
		Example: `  vitdecompose heatmap --model hf:timm/vit_small_patch16_224.augreg_in1k photo.jpg
  vitdecompose heatmap --model deit-mini --text "a red car" --text forest drawing.png
  vitdecompose heatmap --model DIR --class 281 --contact cat.jpg --out results/cat
  vitdecompose heatmap --model deit-mini --top 3 --mask masks photos`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.c = c
			if !c.Flags().Changed("model") {
				return usagef("--model is missing: a shipped model, a checkpoint directory or hf:owner/repo")
			}
			if err := r.check(); err != nil {
				return err
			}
			files, err := data.FilesIn(args)
			if err != nil {
				return err
			}
			return r.run(files)
		},
	}
	addOptions(c, &r.options, slices.Concat([]string{"model", "templates", "blocks"}, session.Loading, ofTexts, ofClasses)...)
	c.Flags().Lookup("model").DefValue = ""
	c.Flags().StringArrayVar(&r.Texts, "text", nil, "a text to find; may be given several times")
	takes(c.Flags(), "text", "TEXT")
	addOptions(c, &r)
	r.figures.add(c)
	return c
}

// check refuses flags that do not go together.
func (r *heatmap) check() error {
	if len(r.Texts) > 0 && r.Class != "" {
		return usagef("--text and --class cannot be used together")
	}
	groups, way := ofTexts, "without --text"
	if len(r.Texts) > 0 {
		groups, way = ofClasses, "with --text"
	}
	for _, o := range optionsOf(groups...) {
		if r.c.Flags().Changed(o) {
			return usagef("--%s is not used %s", o, way)
		}
	}
	if len(r.Texts) > 0 && !r.c.Flags().Changed("data") && !zoo.Has(r.options.Model) {
		return usagef("--text: the heads that explain a text are found on pictures: name them with --data, and for a model that is no CLIP a CLIP with --reference and pictures to align on with --align-data; --class takes the logit of a class apart and needs none of these")
	}
	if len(r.Texts) == 0 && r.c.Flags().Changed("heads") {
		return usagef("--heads is not used without --text")
	}
	return nil
}

// run draws and writes.
func (r *heatmap) run(files data.Files) error {
	if r.Out == "" {
		r.Out = filepath.Join("results", "heatmap")
	}
	if err := os.MkdirAll(r.Out, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	start := time.Now()
	listen(r.c, &r.options)
	draw := r.overClasses
	if len(r.Texts) > 0 {
		draw = r.overTexts
	}
	result, view, err := draw(files)
	if err != nil {
		return usage(err)
	}
	if r.Top > 0 {
		for i, p := range result.Pictures {
			result.Pictures[i] = p.Strongest(r.Top)
		}
	}
	for i := range result.Pictures {
		result.Pictures[i].Name = filepath.Base(result.Pictures[i].Name)
	}
	all := result
	if r.Contact {
		if result, err = r.contacts(result, view); err != nil {
			return err
		}
	}
	if err := r.sheets(result, view); err != nil {
		return err
	}
	found := experiments.HeatmapResult{Models: []experiments.ModelHeatmaps{all}}
	if err := results.WriteTable(r.Out, found.Table()); err != nil {
		return err
	}
	r.meta.Seconds = time.Since(start).Seconds()
	return results.Write(r.Out, found, r.meta)
}

// onSheet is how many pictures one figure shows: more make a page that nobody reads.
const onSheet = 24

// sheets draws the pictures, as many on a figure as one can look at.
func (r *heatmap) sheets(result experiments.ModelHeatmaps, view session.View) error {
	sheet, all := 0, result.Pictures
	for some := range slices.Chunk(all, onSheet) {
		sheet++
		name := "heatmap"
		if len(all) > onSheet {
			name += fmt.Sprintf("-%d", sheet)
		}
		result.Pictures = some
		figure, err := plots.Heatmaps(result, view, plots.HeatmapOptions{Pictures: len(some)})
		if err != nil {
			return err
		}
		if err := r.save(figure, name); err != nil {
			return err
		}
	}
	return nil
}

// compare holds the maps against the masks of --mask, and says of each sum how well it outlines the object.
func (r *heatmap) compare(s *session.Session, over data.Dataset, result *experiments.ModelHeatmaps) error {
	if r.Mask == "" {
		return nil
	}
	if err := experiments.CompareMasks(s, over, result); err != nil {
		return fmt.Errorf("--mask: %w", err)
	}
	for _, p := range result.Pictures {
		for _, panel := range p.Panels {
			if len(panel.Components) > 1 {
				accuracy, iou, precision := panel.Outlined()
				fmt.Fprintf(r.c.OutOrStdout(), "%s: %s: pixel accuracy %.3f, IoU %.3f, average precision %.3f\n", p.Name, panel.Text, accuracy, iou, precision)
			}
		}
	}
	return nil
}

// pictures are the files, with their masks where --mask names some.
func (r *heatmap) pictures(files data.Files) (data.Dataset, error) {
	if r.Mask == "" {
		return files, nil
	}
	masked, err := files.WithMasks(r.Mask)
	if err != nil {
		return nil, fmt.Errorf("--mask: %w", err)
	}
	return masked, nil
}

// save writes a figure.
func (r *heatmap) save(figure plots.Sized, name string) error {
	base := filepath.Join(r.Out, name)
	if err := r.figures.save(figure, base); err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s.%s\n", base, plots.Endings)
	return nil
}

// contacts draws a contact sheet of each picture and text, and returns what is not on one.
func (r *heatmap) contacts(result experiments.ModelHeatmaps, album plots.Album) (experiments.ModelHeatmaps, error) {
	rest := experiments.ModelHeatmaps{Model: result.Model}
	for _, p := range result.Pictures {
		texts := make(map[string][]experiments.HeatmapPanel)
		var order []string
		sums := p
		sums.Panels = nil
		for _, panel := range p.Panels {
			if len(panel.Components) > 1 {
				sums.Panels = append(sums.Panels, panel)
				continue
			}
			if texts[panel.Text] == nil {
				order = append(order, panel.Text)
			}
			texts[panel.Text] = append(texts[panel.Text], panel)
		}
		for i, text := range order {
			one := p
			one.Panels = texts[text]
			figure, err := plots.HeatmapContact(result.Model, one, album)
			if err != nil {
				return rest, err
			}
			name := filepath.Base(p.Name)
			name = "contact-" + strings.TrimSuffix(name, filepath.Ext(name))
			if len(order) > 1 {
				name += "-" + strconv.Itoa(i+1)
			}
			if err := r.save(figure, name); err != nil {
				return rest, err
			}
		}
		if len(sums.Panels) > 0 {
			rest.Pictures = append(rest.Pictures, sums)
		}
	}
	return rest, nil
}

// positions lists those of the pictures.
func positions(files data.Files) []int {
	list := make([]int, len(files))
	for i := range list {
		list[i] = i
	}
	return list
}

// overClasses takes the logit of a class apart.
func (r *heatmap) overClasses(files data.Files) (result experiments.ModelHeatmaps, view session.View, err error) {
	ctx := r.c.Context()
	pictures, err := r.pictures(files)
	if err != nil {
		return result, view, err
	}
	s, err := session.With(ctx, r.options, session.Given{Data: pictures})
	if err != nil {
		return result, view, err
	}
	defer s.Close()
	if err := unneeded(r.c, []*session.Session{s}, ""); err != nil {
		return result, view, err
	}
	config := experiments.ClassHeatmapConfig{Pictures: positions(files), Each: r.Contact || r.Top > 0, CommonScale: r.Common}
	if r.Class != "" {
		model, err := s.Classifier(ctx)
		if err != nil {
			return result, view, err
		}
		class, err := classIndex(r.Class, model.ClassNames, model.Arch.NumClasses())
		if err != nil {
			return result, view, err
		}
		config.Class = &class
	}
	if result, err = experiments.ClassHeatmaps(ctx, s, config); err != nil {
		return result, view, err
	}
	if err := r.compare(s, pictures, &result); err != nil {
		return result, view, err
	}
	return result, s.View(), r.record(s, slices.Concat(session.Loading, ofClasses))
}

// overTexts finds texts in CLIP's space.
func (r *heatmap) overTexts(files data.Files) (result experiments.ModelHeatmaps, view session.View, err error) {
	ctx := r.c.Context()
	pictures, err := r.pictures(files)
	if err != nil {
		return result, view, err
	}
	s, err := session.Open(ctx, r.options)
	if err != nil {
		return result, view, err
	}
	defer s.Close()
	if err := unneeded(r.c, []*session.Session{s}, ""); err != nil {
		return result, view, err
	}
	result, err = experiments.Heatmaps(ctx, s, experiments.HeatmapConfig{
		Texts: r.Texts, Heads: r.Heads, Each: r.Contact || r.Top > 0, CommonScale: r.Common, Over: pictures, Pictures: positions(files),
	})
	if err != nil {
		return result, view, err
	}
	if err := r.compare(s, pictures, &result); err != nil {
		return result, view, err
	}
	view = s.View()
	view.Data = pictures
	return result, view, r.record(s, slices.Concat(session.Loading, ofTexts))
}

// record notes for result.json how the maps were made.
func (r *heatmap) record(s *session.Session, groups []string) (err error) {
	options := s.Options()
	r.meta = results.Meta{Experiment: "heatmap", Seed: options.Seed, Versions: results.Versions(), Assumptions: s.Assumptions()}
	r.meta.Config = append(option.SettingsOf(&options, append([]string{"model", "templates", "blocks"}, groups...)...), option.SettingsOf(r)...)
	r.meta.Representations = map[string]string{options.Model: gomlxvit.RepresentationOf(s.Model.Arch)}
	r.meta.Checkpoints, r.meta.Data, err = session.Provenance(s)
	return err
}

// classIndex finds a class by its index or name.
func classIndex(class string, names []string, classes int) (int, error) {
	if index, err := strconv.Atoi(class); err == nil {
		if index < 0 || index >= classes {
			return 0, fmt.Errorf("--class %d: the model has classes 0 to %d", index, classes-1)
		}
		return index, nil
	}
	found := -1
	for i, name := range names {
		if strings.EqualFold(name, class) {
			if found >= 0 {
				return 0, fmt.Errorf("--class %s: classes %d and %d both have that name; give the index", class, found, i)
			}
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("--class %s: the model has no class of that name; give its index, 0 to %d, or the names of the classes with --class-names%s", class, classes-1, classList(names))
	}
	return found, nil
}

// classList lists the first few names of classes.
func classList(names []string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return ""
	case len(names) > most:
		return fmt.Sprintf(" (its %d classes: %s, ...)", len(names), strings.Join(names[:most], ", "))
	}
	return " (its classes: " + strings.Join(names, ", ") + ")"
}
