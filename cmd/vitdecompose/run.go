package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/atomicfile"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/zoo"
)

// experiment is one of those that run knows.
type experiment struct {
	name  string
	about string // one line of the help
	run   func(*runner) error
	// lacks says why run all leaves the experiment out on these pictures, "" where it does not; nil for never.
	lacks func(*runner, data.Dataset) string
}

// all are the experiments in the order of the paper. The one that it does not have comes last.
func all() []experiment {
	return []experiment{
		{"ablation", "1: accuracy as components are replaced by their mean, from the\nfirst layer forward and from the last layer back", (*runner).ablation, nil},
		{"text-retrieval", "2: pictures found by a text in what groups of components say", (*runner).textRetrieval, nil},
		{"ranking", "3: do components that carry a feature rank pictures as CLIP does?", (*runner).ranking, nil},
		{"image-retrieval", "4: pictures that are like another one in colour, in place, ...", (*runner).imageRetrieval, nil},
		{"heatmaps", "5: where in a picture heads find what a text says", (*runner).heatmaps, nil},
		{"segmentation", "6: objects found by what image tokens add to the logit of the class,\nagainst GradCAM and Chefer et al.", (*runner).segmentation, (*runner).lacksMasks},
		{"waterbirds", "7: birds at the wrong place, before and after the components that\ncarry the place are ablated", (*runner).waterbirds, (*runner).lacksBirds},
		{"alignment", "8: ways into CLIP's space compared, and components in words", (*runner).alignment, nil},
		{"causal", "what read-outs of a feature lose with the components that carry it", (*runner).causal, (*runner).lacksTruths},
	}
}

// runner runs one experiment for some models.
type runner struct {
	c        *cobra.Command
	models   modelFlags
	pictures dataFlags
	head     headFlags
	study    studyFlags
	birds    birdFlags
	figures  figureFlags
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

` + list.String() + `  all              all of them, each into a sub-folder of --out, and a page with
                   everything, index.html

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
	c.Flags().IntSliceVar(&r.probes, "probes", []int{0, 1, 2}, "the pictures that are shown, by their position in --data: image-retrieval finds their neighbours, heatmaps draws over them")
	c.Flags().StringVar(&r.birds.correlated, "correlated", session.CorrelatedBirds, "for waterbirds: pictures of birds at the place that fits most of them; a head is trained on 80 % of these")
	c.Flags().StringVar(&r.birds.uncorrelated, "uncorrelated", session.UncorrelatedBirds, "for waterbirds: pictures of birds at any place")
	c.Flags().StringVar(&r.order, "order", string(experiments.ByShare), "what causal ranks components by: "+string(experiments.ByShare)+" of the variance along a feature, or "+string(experiments.ByCorrelation)+", the paper's variance attributed")
	c.Flags().IntVar(&r.ablated, "ablated", 0, "how many components are ablated: by causal at a time (default 5), by waterbirds (default 10)")
	r.models.add(c)
	r.pictures.add(c)
	r.head.add(c)
	r.study.add(c)
	r.study.addReading(c)
	r.figures.add(c)
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
	var done, leftOut []string
	for _, e := range all() {
		if e.lacks != nil {
			if why := e.lacks(r, studies.data); why != "" {
				leftOut = append(leftOut, e.name+" is left out: "+why)
				fmt.Fprintln(r.c.OutOrStdout(), leftOut[len(leftOut)-1])
				continue
			}
		}
		one := *r // an experiment may fill in what was left open
		one.out = filepath.Join(dir, e.name)
		if e.name == "waterbirds" { // its two features are not those that others are asked about
			one.study.features = ""
		}
		if err := e.run(&one); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		done = append(done, e.name)
	}
	return r.index(dir, done, leftOut)
}

func (r *runner) lacksTruths(ds data.Dataset) string {
	if truthful(ds) {
		return ""
	}
	return "nothing is known of the pictures of " + r.pictures.spec + " beside their classes"
}

func (r *runner) lacksMasks(ds data.Dataset) string {
	if data.HasMasks(ds) {
		return ""
	}
	return "nothing is known of where the objects are in the pictures of " + r.pictures.spec
}

func (r *runner) lacksBirds(data.Dataset) string {
	if r.pictures.drawn() || r.birds.uncorrelated != session.UncorrelatedBirds {
		return ""
	}
	return "it takes pictures of birds, named with --correlated and --uncorrelated"
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
