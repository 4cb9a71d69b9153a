package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/atomicfile"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots"
)

// experiment is one of those that run knows.
type experiment struct {
	name  string
	about string // one line of the help
	run   func(*runner) error
}

// all are the experiments in the order of the paper. The one that it does not have comes last.
func all() []experiment {
	return []experiment{
		{"ablation", "1: accuracy as components are replaced by their mean, from the\nfirst layer forward and from the last layer back", (*runner).ablation},
		{"text-retrieval", "2: pictures found by a text in what groups of components say", (*runner).textRetrieval},
		{"ranking", "3: do components that carry a feature rank pictures as CLIP does?", (*runner).ranking},
		{"image-retrieval", "4: pictures that are like another one in colour, in place, ...", (*runner).imageRetrieval},
		{"alignment", "8: ways into CLIP's space compared, and components in words", (*runner).alignment},
		{"causal", "what read-outs of a feature lose with the components that carry it", (*runner).causal},
	}
}

// runner runs one experiment for some models.
type runner struct {
	c        *cobra.Command
	models   modelFlags
	pictures dataFlags
	head     headFlags
	study    studyFlags
	bank     string
	probes   []int
	order    string
	ablated  int
	names    []string
	out      string
	cacheDir string
}

func newRun() *cobra.Command {
	var r runner
	var kinds []string
	var list strings.Builder
	for _, e := range all() {
		kinds = append(kinds, e.name)
		fmt.Fprintf(&list, "  %-16s %s\n", e.name, strings.ReplaceAll(e.about, "\n", "\n"+strings.Repeat(" ", 19)))
	}
	c := &cobra.Command{
		Use:   "run (" + strings.Join(kinds, "|") + "|all)",
		Short: "Run an experiment of the paper and draw its figure",
		Long: `Run an experiment of arXiv 2406.01583 and write its numbers (result.json, table.csv)
and its figures (PNG, SVG, PDF) into the directory --out.

` + list.String() + `  all              all of them, each into a sub-folder of --out

Contributions and alignments are kept in a cache: a second run, or one that was
interrupted, does not compute them again.`,
		Example: `  vitdecompose run ablation
  vitdecompose run text-retrieval --model swin-mini --lambda 0.1
  vitdecompose run ablation --model hf:timm/vit_small_patch16_224.dino --head-data training --data validation
  vitdecompose run text-retrieval --model hf:timm/deit_base_patch16_224.fb_in1k --reference hf:laion/CLIP-ViT-L-14-laion2B-s32B-b82K --align-data photos --data photos`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: append(slices.Clone(kinds), "all"),
		RunE: func(c *cobra.Command, args []string) error {
			r.c = c
			if err := r.pictures.check(); err != nil {
				return err
			}
			if len(r.names) == 0 {
				return usagef("--model names no model")
			}
			for i, name := range r.names {
				if slices.Contains(r.names[:i], name) {
					return usagef("--model names %s twice", name)
				}
			}
			if err := r.study.check(r.names); err != nil {
				return err
			}
			if order := experiments.CausalOrder(r.order); order != experiments.ByShare && order != experiments.ByCorrelation {
				return usagef("--order %q is not one of %s, %s", r.order, experiments.ByShare, experiments.ByCorrelation)
			}
			for _, e := range all() {
				if e.name == args[0] {
					r.out = cmp.Or(r.out, filepath.Join("results", e.name))
					return e.run(&r)
				}
			}
			if args[0] != "all" {
				return usagef("experiment %q is not known (known: %s, all)", args[0], strings.Join(kinds, ", "))
			}
			return r.all(cmp.Or(r.out, "results"))
		},
	}
	c.Flags().StringSliceVar(&r.names, "model", zoo.Studied(), "models, separated by commas: shipped ones, checkpoint directories or hf:owner/repo")
	c.Flags().StringVar(&r.out, "out", "", "directory for the results (default results/EXPERIMENT)")
	c.Flags().StringVar(&r.cacheDir, "cache", "", "directory where contributions and alignments are kept (default: the user's cache directory)")
	c.Flags().StringVar(&r.bank, "bank", "", "the texts that alignment describes components by: a shipped bank ("+strings.Join(phrases.Banks(), ", ")+") or a file with one a line")
	c.Flags().IntSliceVar(&r.probes, "probes", []int{0, 1, 2}, "the pictures that image-retrieval shows neighbours of, by their position in --data")
	c.Flags().StringVar(&r.order, "order", string(experiments.ByShare), "what causal ranks components by: "+string(experiments.ByShare)+" of the variance along a feature, or "+string(experiments.ByCorrelation)+", the paper's variance attributed")
	c.Flags().IntVar(&r.ablated, "ablated", 0, "how many components causal ablates at a time (default: 5)")
	r.models.add(c)
	r.pictures.add(c)
	r.head.add(c)
	r.study.add(c)
	r.study.addReading(c)
	return c
}

// all runs all experiments, each into a folder of dir.
func (r *runner) all(dir string) error {
	// What a later experiment lacks should be known before an earlier one has computed for long.
	check := *r
	studies, err := newStudies(r.c, &check.models, &check.pictures, &check.study, r.cacheDir)
	if err != nil {
		return err
	}
	for _, name := range r.names {
		if _, _, err := studies.open(name); err != nil {
			return err
		}
	}
	for _, e := range all() {
		if e.name == "causal" && !truthful(studies.data) {
			fmt.Fprintf(r.c.OutOrStdout(), "causal is left out: nothing is known of the pictures of %s beside their classes\n", r.pictures.spec)
			continue
		}
		one := *r // an experiment may fill in what was left open
		one.out = filepath.Join(dir, e.name)
		if err := e.run(&one); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// truthful tells whether a data set knows any feature of any picture.
func truthful(ds data.Dataset) bool {
	for i := range ds.Len() {
		if len(data.Attributes(ds, i)) > 0 {
			return true
		}
	}
	return false
}

// ablationConfig is what result.json says of how the experiment was run.
type ablationConfig struct {
	Models     []string `json:"models"`
	Data       string   `json:"data"`
	Labels     string   `json:"labels,omitempty"`
	Names      string   `json:"class_names,omitempty"`
	Templates  string   `json:"templates,omitempty"`
	HeadData   string   `json:"head_data,omitempty"`
	HeadLabels string   `json:"head_labels,omitempty"`
	Pictures   int      `json:"pictures"` // 0: all
	Batch      int      `json:"batch"`
	ImageSize  int      `json:"image_size,omitempty"`
	Orient     bool     `json:"orient,omitempty"`
	MaxBad     int      `json:"max_bad,omitempty"`
}

// prepareOut makes the directory for the results, and finds out whether it can be written: a mistake that shows only in
// the end would cost all the time before.
func (r *runner) prepareOut() error {
	if r.out == "" { // nothing is written
		return nil
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := checkWritable(filepath.Join(r.out, experiments.ResultFile)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

func (r *runner) ablation() error {
	start := time.Now()
	if err := r.prepareOut(); err != nil {
		return err
	}
	c, models, pictures, head, names, out := r.c, &r.models, &r.pictures, &r.head, r.names, r.out
	head.setDefault(*pictures)
	classified, err := pictures.open()
	if err != nil {
		return err
	}
	for _, name := range names[1:] {
		model, _, err := models.load(c.Context(), name, classified.Classes())
		if err != nil {
			return err
		}
		if err := head.check(model); err != nil {
			return err
		}
		if _, err := labelled(classified, model); err != nil {
			return err
		}
	}
	open := func(name string) (*gomlxvit.Model, data.Dataset, error) {
		model, err := models.openFor(c.Context(), name, classified.Classes())
		if err != nil {
			return nil, nil, err
		}
		if err := head.check(model); err != nil {
			return nil, nil, err
		}
		ds, err := labelled(classified, model)
		return model, ds, err
	}
	backend, err := openBackend()
	if err != nil {
		return err
	}
	meta := experiments.Meta{
		Experiment: "ablation", Checkpoints: map[string]string{}, Data: map[string]string{}, Versions: experiments.Versions(),
		Config: ablationConfig{
			Models: names, Data: pictures.spec, Labels: pictures.labels, Names: models.classNames, Templates: models.templates,
			HeadData: head.spec, HeadLabels: head.labels,
			Pictures: pictures.pictures, Batch: pictures.batch, ImageSize: models.imageSize, Orient: pictures.orient, MaxBad: pictures.maxBad,
		},
	}
	var result experiments.AblationResult
	short := shortNames(names)
	for i, name := range names {
		model, ds, err := open(name)
		if err != nil {
			return err
		}
		extraction := pictures.extraction(c, backend, model, ds, r.cacheDir)
		if model.Arch.NumClasses() == 0 {
			var trainedOn string
			if extraction.Model, trainedOn, err = head.train(c, extraction); err != nil {
				return err
			}
			meta.Data[head.spec] = trainedOn
			// The labels now have a meaning to match.
			if extraction.Data, err = labelled(classified, extraction.Model); err != nil {
				return err
			}
		}
		curve, exactness, err := experiments.Ablation(c.Context(), extraction)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %d pictures, accuracy %.1f %%; |sum of components - representation| is at most %.1e of the representation\n",
			name, curve.Pictures, 100*curve.FromInit[0], exactness)
		curve.Model = short[i]
		result.Curves = append(result.Curves, curve)
		meta.Checkpoints[name] = extraction.Model.Hash
		if meta.Data[pictures.spec], err = extraction.Data.Hash(); err != nil {
			return err
		}
	}

	table, err := result.Table()
	if err != nil {
		return err
	}
	if err := experiments.WriteTable(out, table); err != nil {
		return err
	}
	figure, err := plots.Ablation(result)
	if err != nil {
		return err
	}
	if err := plots.Save(figure, filepath.Join(out, "ablation"), figure.Width, figure.Height); err != nil {
		return err
	}
	meta.Seconds = time.Since(start).Seconds()
	if err := experiments.WriteResult(out, result, meta); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "wrote %s and ablation.{png,svg,pdf}, %s beside it\n", filepath.Join(out, experiments.ResultFile), experiments.TableFile)
	return nil
}

// checkWritable tells whether a file can be written there; it leaves no trace. An empty path is fine.
func checkWritable(path string) error {
	if path == "" {
		return nil
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	return f.Abort()
}

// stderrFile is the terminal or file that progress goes to; nil, which means silence, when errors go elsewhere.
func stderrFile(c *cobra.Command) *os.File {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok {
		return nil
	}
	return f
}
