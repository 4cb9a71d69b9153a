package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vitdecompose/data"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/zoo"
)

// Experiment is a row of the table of [All]: everything that there is to say about an experiment, for the code that runs it,
// draws it, lists it or writes about it.
type Experiment struct {
	// Name is what it is run by, Number what the paper calls it; "" for what the paper does not have.
	Name, Number string
	// About is a line for lists, Title and Claim are for pages: what it is, and what the paper claims of it.
	About, Title, Claim string
	// Options are the groups of [session.Options] that it uses. Those of its configuration come on top.
	Options []string
	// Trains reports whether the pictures to align on are also used by a model that needs no alignment.
	Trains bool

	// NewConfig makes a configuration with everything left open: a pointer to one of this package's structs. Its options are
	// declared as those of [session.Options] are.
	NewConfig func() any
	// Compare puts a result beside the paper's numbers; nil where there are none. checkpoints are the names that the user
	// gave, by what the result calls the models; config is the one that was run.
	Compare func(result Result, checkpoints map[string]string, data string, config any) Comparison

	ready func(ctx context.Context, s *session.Session, config any) error
	lacks func(s *session.Session, config any) string
	run   func(ctx context.Context, sessions []*session.Session, config any, say func(string)) (Outcome, error)
}

// Result is what an experiment finds with one model or more: numbers, which result.json holds and plots draw.
type Result interface {
	// Table is what table.csv holds.
	Table() results.Table
}

// Tabled is a [Result] with further tables, by the names of their files.
type Tabled interface {
	Result
	Tables() map[string]results.Table
}

// Outcome is a result with what made it.
type Outcome struct {
	Result Result
	// Config is the configuration with everything filled in.
	Config any
	// Align is how alignments were trained; nil where none were.
	Align any
	// Checkpoints and Data are SHA-256 hashes, in hexadecimal, by the names the user gave.
	Checkpoints, Data map[string]string
	// Assumptions are what was assumed that changes numbers.
	Assumptions []string
	// Lists are the lists of words that were chosen where none was named, by the flags that name them.
	Lists map[string]string
}

// Ready says what a model lacks for the experiment, before anything is computed: a mistake in the last model should not cost
// the time before.
func (e Experiment) Ready(ctx context.Context, s *session.Session, config any) error {
	if e.ready == nil {
		return nil
	}
	return e.ready(ctx, s, config)
}

// Lacks says what the pictures lack for the experiment, "" where nothing.
func (e Experiment) Lacks(s *session.Session, config any) string {
	if e.lacks == nil {
		return ""
	}
	return e.lacks(s, config)
}

// Run runs the experiment with one model after the other. config is one of NewConfig; say, if not nil, is called with lines
// about what was found.
func (e Experiment) Run(ctx context.Context, sessions []*session.Session, config any, say func(string)) (Outcome, error) {
	if len(sessions) == 0 {
		return Outcome{}, fmt.Errorf("%s: there is no model to look at", e.Name)
	}
	for _, s := range sessions {
		if err := e.Ready(ctx, s, config); err != nil {
			return Outcome{}, err
		}
	}
	if say == nil {
		say = func(string) {}
	}
	return e.run(ctx, sessions, config, say)
}

// configuration is what the configurations of experiments have in common: fill checks it, and fills in what was left open and
// depends on the session.
type configuration[C any] interface {
	*C
	fill(ctx context.Context, s *session.Session) error
}

// summarised is the result of one model as lines to print.
type summarised interface{ Summary() []string }

// define completes a row of the table: run does the work for one model, collect puts the models together.
func define[C any, P configuration[C], M summarised, R Result](e Experiment, run func(context.Context, *session.Session, C) (M, error), collect func([]M) R) Experiment {
	e.NewConfig = func() any { return new(C) }
	e.run = func(ctx context.Context, sessions []*session.Session, config any, say func(string)) (Outcome, error) {
		given, ok := config.(*C)
		if !ok {
			return Outcome{}, fmt.Errorf("%s is configured by a %T, not by a %T", e.Name, new(C), config)
		}
		out := Outcome{Checkpoints: make(map[string]string), Data: make(map[string]string)}
		var models []M
		for _, s := range sessions {
			model, filled, err := runOne[C, P](ctx, s, *given, run, &out)
			if err != nil {
				return out, err
			}
			out.Config = filled
			for _, line := range model.Summary() {
				say(s.Name + ": " + line)
			}
			models = append(models, model)
		}
		out.Result = collect(models)
		return out, nil
	}
	return e
}

// runOne runs an experiment with one model, and gathers what it was made of.
func runOne[C any, P configuration[C], M any](ctx context.Context, s *session.Session, config C, run func(context.Context, *session.Session, C) (M, error), out *Outcome) (model M, filled C, err error) {
	s.Release()
	defer s.Release()
	if err := P(&config).fill(ctx, s); err != nil {
		return model, config, err
	}
	if model, err = run(ctx, s, config); err != nil {
		return model, config, err
	}
	checkpoints, sets, err := session.Provenance(s)
	for name, hash := range checkpoints {
		out.Checkpoints[name] = hash
	}
	for name, hash := range sets {
		out.Data[name] = hash
	}
	out.Lists = s.Lists()
	if align := s.Aligned(); align != nil {
		out.Align = *align
	}
	for _, line := range s.Assumptions() {
		if !slices.Contains(out.Assumptions, line) {
			out.Assumptions = append(out.Assumptions, line)
		}
	}
	return model, config, err
}

// settle checks a configuration and gives what was left open its defaults.
func settle(config any) error { return errors.Join(option.Check(config), option.SetDefaults(config)) }

// reads is what experiments need that read components by text.
func reads(ctx context.Context, s *session.Session, _ any) error { return s.CanRead(ctx) }

// classifies is what experiments need that look at predictions.
func classifies(ctx context.Context, s *session.Session, _ any) error { return s.CanClassify(ctx) }

// readsAndClassifies is what needs both.
func readsAndClassifies(ctx context.Context, s *session.Session, _ any) error {
	return errors.Join(s.CanRead(ctx), s.HasHead(ctx))
}

// lacksMasks says that nothing is known of where objects are.
func lacksMasks(s *session.Session, _ any) string {
	if data.HasMasks(s.Data) {
		return ""
	}
	return "it is not known where the objects are in the pictures of " + s.Options().Data +
		", which segmentation is measured against; `vitdecompose heatmap --class` draws maps of a class without masks"
}

// lacksTruths says that nothing is known of the features of the pictures.
func lacksTruths(s *session.Session, _ any) string {
	for i := range s.Data.Len() {
		if len(data.Attributes(s.Data, i)) > 0 {
			return ""
		}
	}
	return "nothing is known of the pictures of " + s.Options().Data + " beside their classes"
}

// lacksBirds says that drawn birds, where nobody asks for them, are no test of a model of photographs.
func lacksBirds(s *session.Session, config any) string {
	c, ok := config.(*WaterbirdsConfig)
	named := ok && c.Uncorrelated != ""
	drawn := session.Drawn(s.Options().Data)
	if drawn && (named || zoo.Has(s.Options().Model)) || named && !session.Drawn(c.Uncorrelated) {
		return ""
	}
	return "it takes pictures of birds, named as option Correlated and option Uncorrelated"
}
