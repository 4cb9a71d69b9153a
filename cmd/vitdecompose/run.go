package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vitdecompose/experiments"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots"
)

// runner runs experiments for some models.
type runner struct {
	c       *cobra.Command
	models  []string
	options session.Options
	figures figureFlags
	out     string
	// groups are those of the options that the command has flags of; used is one that counts as used whatever the models are.
	groups []string
	used   string
}

func newRun() *cobra.Command {
	var names []string
	for _, e := range experiments.All() {
		names = append(names, e.Name)
	}
	c := &cobra.Command{
		Use:   "run (EXPERIMENT|all)",
		Short: "Run an experiment of the paper and draw its figure",
		Long: `Run an experiment of arXiv 2406.01583 and write its numbers (result.json, table.csv)
and its figures (PNG, SVG, PDF, with captions as text and LaTeX) into the directory
--out. The numbers are those of the paper's experiments.

Contributions and alignments are kept in a cache: a second run, or one that was
interrupted, does not compute them again.`,
		Example: `  vitdecompose run ablation
  vitdecompose run text-retrieval --model swin-mini --lambda 0.1
  vitdecompose run ablation --model hf:timm/vit_small_patch16_224.dino \
    --head-data training --data validation
  vitdecompose run text-retrieval --model hf:timm/deit_base_patch16_224.fb_in1k \
    --reference hf:laion/CLIP-ViT-L-14-laion2B-s32B-b82K --align-data photos --data photos`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name an experiment: %s or all", strings.Join(names, ", "))
			}
			if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
				return usagef("unknown experiment %q, did you mean %s?", args[0], strings.Join(similar, " or "))
			}
			return usagef("unknown experiment %q (known: %s, all)", args[0], strings.Join(names, ", "))
		},
	}
	c.SuggestionsMinimumDistance = 2
	for _, e := range experiments.All() {
		c.AddCommand(newRunOne(e))
	}
	c.AddCommand(newRunAll())
	return c
}

// newRunOne is the command of one experiment.
func newRunOne(e experiments.Experiment) *cobra.Command {
	r, config := &runner{groups: e.Options}, e.NewConfig()
	if e.Trains {
		r.used = "training"
	}
	about := e.About
	if e.Number != "" {
		about = e.Number + ": " + about
	}
	r.options.OtherPictures = !slices.Contains(e.Options, "data")
	c := &cobra.Command{
		Use: e.Name, Short: about, Args: cobra.NoArgs,
		Long:    strings.Join(wrap(strings.TrimSpace(e.Title+". "+e.Claim), 90), "\n"),
		Example: "  vitdecompose run " + e.Name + "\n  vitdecompose run " + e.Name + " --model clip-mini --pictures 200 --out results/mine",
		RunE: func(c *cobra.Command, _ []string) error {
			return r.run(c, func(sessions *session.Sessions, all []*session.Session) error {
				out := cmp.Or(r.out, filepath.Join("results", e.Name))
				_, _, err := r.experiment(e, config, all, out)
				return err
			})
		},
	}
	r.add(c, filepath.Join("results", e.Name))
	addConfig(c, config)
	return c
}

// newRunAll is the command of all experiments.
func newRunAll() *cobra.Command {
	r, configs := &runner{used: "training"}, make(map[string]any)
	for _, e := range experiments.All() {
		configs[e.Name] = e.NewConfig()
		for _, group := range e.Options {
			if !slices.Contains(r.groups, group) {
				r.groups = append(r.groups, group)
			}
		}
	}
	c := &cobra.Command{
		Use: "all", Short: "all of them, each into a sub-folder of --out, and a page with everything", Args: cobra.NoArgs,
		Long: `Run all experiments, each into a sub-folder of --out, and write a page with everything,
index.html. An experiment that needs what the pictures lack, masks for example, is left out.`,
		Example: `  vitdecompose run all --out results/all`,
		RunE: func(c *cobra.Command, _ []string) error {
			return r.run(c, func(sessions *session.Sessions, all []*session.Session) error {
				return r.all(configs, all, cmp.Or(r.out, "results"))
			})
		},
	}
	r.add(c, "results")
	for _, e := range experiments.All() {
		addConfig(c, configs[e.Name])
	}
	return c
}

// add adds the flags that experiments have in common.
func (r *runner) add(c *cobra.Command, out string) {
	c.Flags().StringSliceVar(&r.models, "model", zoo.Studied(), "models, separated by commas: shipped ones, checkpoint directories, files of weights or hf:owner/repo")
	takes(c.Flags(), "model", "MODEL,...", "model")
	c.Flags().StringVar(&r.out, "out", "", "directory for the results (default: "+out+")")
	takes(c.Flags(), "out", "DIR")
	addOptions(c, &r.options, r.groups...)
	r.figures.add(c)
}

// run opens the models, each of them once, and does something with them.
func (r *runner) run(c *cobra.Command, do func(*session.Sessions, []*session.Session) error) error {
	r.c = c
	if err := r.check(); err != nil {
		return err
	}
	listen(c, &r.options)
	sessions, err := session.Several(c.Context(), r.options)
	if err != nil {
		return usage(err)
	}
	defer sessions.Close()
	all, err := sessions.All(c.Context(), r.models)
	if err != nil {
		return usage(err)
	}
	if err := unneeded(c, all, r.used); err != nil {
		return err
	}
	return do(sessions, all)
}

// check refuses a wrong command line before anything is opened.
func (r *runner) check() error {
	if len(r.models) == 0 {
		return usagef("--model is empty: name a model")
	}
	for i, name := range r.models {
		if slices.Contains(r.models[:i], name) {
			return usagef("--model names %s twice", name)
		}
	}
	if o := r.options; len(r.models) > 1 && (o.Blocks != "" || o.Aligner != "" || o.Config != "" || o.Arch != "" || o.Output != "") {
		return usagef("--blocks, --aligner, --config, --arch and --output are for a single model: name just one with --model")
	}
	return nil
}

// experiment runs one experiment and writes what it finds into a directory; "" for nowhere.
func (r *runner) experiment(e experiments.Experiment, config any, sessions []*session.Session, dir string) (experiments.Outcome, results.Meta, error) {
	start := time.Now()
	meta := results.Meta{Experiment: e.Name, Versions: results.Versions(), Seed: r.options.Seed}
	if err := prepareOut(dir); err != nil {
		return experiments.Outcome{}, meta, err
	}
	outcome, err := e.Run(r.c.Context(), sessions, config, func(line string) { fmt.Fprintln(r.c.OutOrStdout(), line) })
	if err != nil {
		return outcome, meta, usage(err)
	}
	meta.Checkpoints, meta.Data, meta.Assumptions = outcome.Checkpoints, outcome.Data, outcome.Assumptions
	meta.Representations = make(map[string]string)
	for i, s := range sessions {
		meta.Representations[r.models[i]] = gomlxvit.RepresentationOf(s.Model.Arch)
	}
	meta.Config = r.settings(e, config, sessions[0], outcome)
	if dir == "" {
		return outcome, meta, nil
	}
	drawings, err := plots.Draw(outcome.Result, sessions)
	if err != nil {
		return outcome, meta, err
	}
	// The numbers come first: a disk that fills up must not leave figures that nothing says what they show.
	meta.Seconds = time.Since(start).Seconds()
	if err := results.Write(dir, outcome.Result, meta); err != nil {
		return outcome, meta, fmt.Errorf("--out: %w", err)
	}
	if err := writeTables(dir, outcome.Result); err != nil {
		return outcome, meta, fmt.Errorf("--out: %w", err)
	}
	for _, d := range drawings {
		if err := r.figures.save(d.Figure, filepath.Join(dir, d.Name)); err != nil {
			return outcome, meta, fmt.Errorf("--out: %w", err)
		}
	}
	fmt.Fprintln(r.c.OutOrStdout(), wrote(dir, drawings))
	return outcome, meta, nil
}

// wrote says what was written.
func wrote(dir string, drawings []plots.Drawing) string {
	line := "wrote " + filepath.Join(dir, results.ResultFile)
	if len(drawings) > 0 {
		var names []string
		for _, d := range drawings {
			names = append(names, d.Name+"."+plots.Endings)
		}
		line += " and " + strings.Join(names, ", ")
	}
	return line + ", " + results.TableFile + " beside it"
}

// settings are what result.json says of how an experiment was run.
func (r *runner) settings(e experiments.Experiment, config any, first *session.Session, outcome experiments.Outcome) option.Settings {
	options := first.Options()
	settings := append(option.Settings{{Name: "models", Value: r.models}}, option.SettingsOf(&options, e.Options...)...)
	for _, o := range option.SettingsOf(config) { // beside the configuration itself, what JSON leaves out of it
		if !slices.ContainsFunc(settings, func(s option.Setting) bool { return s.Name == o.Name }) {
			settings = append(settings, o)
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(outcome.Lists)) {
		settings = append(settings, option.Setting{Name: flag, Value: outcome.Lists[flag]})
	}
	if outcome.Align != nil {
		settings = append(settings, option.Setting{Name: "align", Value: outcome.Align})
	}
	return append(settings, option.Setting{Name: "experiment", Value: outcome.Config})
}

// writeTables writes table.csv, and what other tables a result has.
func writeTables(dir string, result experiments.Result) error {
	if err := results.WriteTable(dir, result.Table()); err != nil {
		return err
	}
	tabled, ok := result.(experiments.Tabled)
	if !ok {
		return nil
	}
	tables := tabled.Tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if err := results.WriteTableAs(dir, name, tables[name]); err != nil {
			return err
		}
	}
	return nil
}

// all runs all experiments, each into a folder of dir.
func (r *runner) all(configs map[string]any, sessions []*session.Session, dir string) error {
	var todo []experiments.Experiment
	var leftOut []string
	for _, e := range experiments.All() {
		why := ""
		for _, s := range sessions {
			why = cmp.Or(why, e.Lacks(s, configs[e.Name]))
		}
		if why != "" {
			leftOut = append(leftOut, e.Name+" is left out: "+named(why))
			fmt.Fprintln(r.c.OutOrStdout(), leftOut[len(leftOut)-1])
			continue
		}
		// What a later experiment lacks should be known before an earlier one has computed for long.
		for _, s := range sessions {
			if err := e.Ready(r.c.Context(), s, configs[e.Name]); err != nil {
				return fmt.Errorf("%s: %w", e.Name, usage(err))
			}
		}
		todo = append(todo, e)
	}
	var done []section
	for _, e := range todo {
		outcome, meta, err := r.experiment(e, configs[e.Name], sessions, filepath.Join(dir, e.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		done = append(done, section{e, outcome, meta})
	}
	return r.index(dir, done, leftOut)
}

// prepareOut makes the directory for the results, and finds out whether it can be written: a mistake that shows only in
// the end would cost all the time before. "" is nowhere.
func prepareOut(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := checkWritable(filepath.Join(dir, results.ResultFile)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}
