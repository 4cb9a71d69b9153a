package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// heatmaps is experiment 5 on some pictures of the data.
func (r *runner) heatmaps() error {
	run, err := r.text("heatmaps")
	if err != nil {
		return err
	}
	features, err := run.studies.featureList("heatmaps", "scenes")
	if err != nil {
		return err
	}
	config := experiments.HeatmapConfig{Features: features, Heads: 3}
	var result experiments.HeatmapResult
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		reading, err := study.Open(r.c.Context())
		if err != nil {
			return err
		}
		defer reading.Close()
		sheet, err := experiments.Heatmaps(r.c.Context(), study, reading, study.Data, r.probes, config)
		if err != nil {
			return err
		}
		sheet.Model = short
		result.Sheets = append(result.Sheets, sheet)
		drawn, err := plots.Heatmaps(sheet, session.View{Extraction: study.Extraction}, plots.HeatmapOptions{})
		if err != nil {
			return err
		}
		run.say("%s: %d pictures, %d maps of each", short, len(sheet.Pictures), len(sheet.Pictures[0].Panels))
		return run.saveSheet("heatmaps", short, drawn)
	})
	if err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}

// heatmapRun draws over pictures of the user's own.
type heatmapRun struct {
	c        *cobra.Command
	models   modelFlags
	pictures dataFlags
	head     headFlags
	study    studyFlags
	figures  figureFlags
	model    string
	texts    []string
	class    string
	contact  bool
	heads    int
	out      string
	cacheDir string
}

func newHeatmap() *cobra.Command {
	var r heatmapRun
	c := &cobra.Command{
		Use:   "heatmap IMAGE...",
		Short: "Draw over pictures where a model finds a text or a class",
		Long: `Draw over pictures where a model finds something: the contributions of the image tokens
that attention heads read, at the places of these tokens, red where they speak for it and
blue where they speak against.

Without --text it is the logit of a class of the model's own head that is taken apart, the
best one or that of --class. With --text it is the product with the text in CLIP's space;
the heads that explain the text best are found on the pictures of --data. --contact draws
every head by itself.`,
		Example: `  vitdecompose heatmap --model hf:timm/vit_small_patch16_224.augreg_in1k photo.jpg
  vitdecompose heatmap --model deit-mini --text "a red car" --text forest drawing.png
  vitdecompose heatmap --model DIR --class 281 --contact cat.jpg --out results/cat`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.c = c
			if err := r.pictures.check(); err != nil {
				return err
			}
			if err := r.study.check([]string{r.model}); err != nil {
				return err
			}
			switch {
			case r.model == "":
				return usagef("--model is missing: a shipped model, a checkpoint directory or hf:owner/repo")
			case len(r.texts) > 0 && r.class != "":
				return usagef("--text and --class do not go together")
			case r.heads < 1:
				return usagef("--heads must be at least 1")
			}
			return r.run(data.Files(args))
		},
	}
	c.Flags().StringVar(&r.model, "model", "", "the model: a shipped one, a checkpoint directory or hf:owner/repo")
	c.Flags().StringArrayVar(&r.texts, "text", nil, "a text to find; may be given several times")
	c.Flags().StringVar(&r.class, "class", "", "the class whose logit is taken apart: its name or its index (default: the best one)")
	c.Flags().BoolVar(&r.contact, "contact", false, "draw every head by itself, and not only their sum")
	c.Flags().IntVar(&r.heads, "heads", 3, "of how many heads, those that explain a text best, the maps are summed")
	c.Flags().StringVar(&r.out, "out", filepath.Join("results", "heatmap"), "directory for the figures and numbers")
	c.Flags().StringVar(&r.cacheDir, "cache", "", "directory where contributions and alignments are kept (default: the user's cache directory)")
	r.models.add(c)
	r.pictures.add(c)
	r.head.add(c)
	r.study.add(c)
	r.figures.add(c)
	return c
}

// run draws and writes.
func (r *heatmapRun) run(files data.Files) error {
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	draw := r.overClasses
	if len(r.texts) > 0 {
		draw = r.overTexts
	}
	sheet, extraction, err := draw(files)
	if err != nil {
		return err
	}
	sheet.Model = session.ShortNames([]string{r.model})[0]
	for i := range sheet.Pictures {
		sheet.Pictures[i].Name = filepath.Base(sheet.Pictures[i].Name)
	}
	all := sheet
	if r.contact {
		if sheet, err = r.contacts(sheet, session.View{Extraction: extraction}); err != nil {
			return err
		}
	}
	if len(sheet.Pictures) > 0 {
		figure, err := plots.Heatmaps(sheet, session.View{Extraction: extraction}, plots.HeatmapOptions{Pictures: len(sheet.Pictures)})
		if err != nil {
			return err
		}
		if err := r.figures.save(figure, filepath.Join(r.out, "heatmap")); err != nil {
			return err
		}
		fmt.Fprintf(r.c.OutOrStdout(), "wrote %s.{png,svg,pdf}\n", filepath.Join(r.out, "heatmap"))
	}
	result := experiments.HeatmapResult{Sheets: []experiments.HeatmapSheet{all}}
	return experiments.WriteTable(r.out, result.Table())
}

// contacts draws a contact sheet of each picture and text, and returns what is not on one.
func (r *heatmapRun) contacts(sheet experiments.HeatmapSheet, album plots.Album) (experiments.HeatmapSheet, error) {
	rest := experiments.HeatmapSheet{Model: sheet.Model}
	for _, p := range sheet.Pictures {
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
			figure, err := plots.HeatmapContact(sheet.Model, one, album)
			if err != nil {
				return rest, err
			}
			name := filepath.Base(p.Name)
			name = "contact-" + strings.TrimSuffix(name, filepath.Ext(name))
			if len(order) > 1 {
				name += "-" + strconv.Itoa(i+1)
			}
			if err := r.figures.save(figure, filepath.Join(r.out, name)); err != nil {
				return rest, err
			}
			fmt.Fprintf(r.c.OutOrStdout(), "wrote %s.{png,svg,pdf}\n", filepath.Join(r.out, name))
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
func (r *heatmapRun) overClasses(files data.Files) (experiments.HeatmapSheet, experiments.Extraction, error) {
	ctx := r.c.Context()
	none := func(err error) (experiments.HeatmapSheet, experiments.Extraction, error) {
		return experiments.HeatmapSheet{}, experiments.Extraction{}, err
	}
	model, err := r.models.open(ctx, r.model)
	if err != nil {
		return none(err)
	}
	r.head.setDefault(r.pictures)
	if err := r.head.check(model); err != nil {
		return none(err)
	}
	backend, err := session.Backend()
	if err != nil {
		return none(err)
	}
	e := r.pictures.extraction(r.c, backend, model, files, r.cacheDir)
	if model.Arch.NumClasses() == 0 {
		if e.Model, _, err = r.head.train(r.c, e); err != nil {
			return none(err)
		}
	}
	blocks := e.Model.Arch.Blocks()
	first, last := experiments.SegmentationBlocks(blocks)
	if r.study.blocks != "" {
		if first, last, err = parseBlocks(r.study.blocks, blocks); err != nil {
			return none(err)
		}
	}
	e.Options.First, e.Options.End = first, last+1
	var choose func([]float32) int
	if r.class != "" {
		class, err := classIndex(r.class, e.Model.ClassNames, e.Model.Arch.NumClasses())
		if err != nil {
			return none(err)
		}
		choose = func([]float32) int { return class }
	}
	sheet, err := experiments.ClassHeatmaps(ctx, e, positions(files), r.contact, choose)
	return sheet, e, err
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
				return 0, fmt.Errorf("--class %s: classes %d and %d are both called so; give the index", class, found, i)
			}
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("--class %s: no class of the model is called so; give its index, 0 to %d, or the names of the classes with --class-names", class, classes-1)
	}
	return found, nil
}

// overTexts finds texts in CLIP's space.
func (r *heatmapRun) overTexts(files data.Files) (experiments.HeatmapSheet, experiments.Extraction, error) {
	ctx := r.c.Context()
	studies, err := newStudies(r.c, &r.models, &r.pictures, &r.study, r.cacheDir)
	if err != nil {
		return experiments.HeatmapSheet{}, experiments.Extraction{}, err
	}
	study, _, err := studies.open(r.model)
	if err != nil {
		return experiments.HeatmapSheet{}, experiments.Extraction{}, err
	}
	reading, err := study.Open(ctx)
	if err != nil {
		return experiments.HeatmapSheet{}, experiments.Extraction{}, err
	}
	defer reading.Close()
	sheet, err := experiments.Heatmaps(ctx, study, reading, files, positions(files), experiments.HeatmapConfig{
		Texts: r.texts, Heads: r.heads, Each: r.contact,
	})
	shown := study.Extraction
	shown.Data = files
	return sheet, shown, err
}
