package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"vitdecompose/decompose"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/plots"
)

// textConfig is what result.json says of how an experiment that reads components by text was run.
type textConfig struct {
	Models        []string              `json:"models"`
	Data          string                `json:"data"`
	Labels        string                `json:"labels,omitempty"`
	Pictures      int                   `json:"pictures"`            // 0: all
	Shuffle       *int64                `json:"shuffle,omitempty"`   // seed of the order
	Keep          string                `json:"keep,omitempty"`      // how contributions are kept, where rounded
	Precision     string                `json:"precision,omitempty"` // of matrix products, where not float32
	Reference     string                `json:"reference"`
	AlignData     string                `json:"align_data,omitempty"`
	AlignPictures int                   `json:"align_pictures,omitempty"` // 0: all
	Align         decompose.AlignConfig `json:"align"`
	Aligner       string                `json:"aligner,omitempty"`
	Blocks        string                `json:"blocks,omitempty"` // empty: the paper's
	Features      string                `json:"features,omitempty"`
	Bank          string                `json:"bank,omitempty"`
	Names         string                `json:"class_names,omitempty"`
	Templates     string                `json:"templates,omitempty"`
	HeadData      string                `json:"head_data,omitempty"`
	Batch         int                   `json:"batch"`
	ImageSize     int                   `json:"image_size,omitempty"`
	Orient        bool                  `json:"orient,omitempty"`
	MaxBad        int                   `json:"max_bad,omitempty"`
	Experiment    any                   `json:"experiment,omitempty"` // its own settings
}

// textRun is an experiment that reads components by text, under way.
type textRun struct {
	*runner
	studies *studies
	start   time.Time
	config  textConfig
	meta    experiments.Meta
}

// text begins such an experiment.
func (r *runner) text(name string) (*textRun, error) {
	run := &textRun{runner: r, start: time.Now()}
	if err := r.prepareOut(); err != nil {
		return nil, err
	}
	var err error
	if run.studies, err = newStudies(r.c, &r.models, &r.pictures, &r.study, r.cacheDir); err != nil {
		return nil, err
	}
	run.meta = experiments.Meta{
		Experiment: name, Checkpoints: map[string]string{}, Data: map[string]string{}, Versions: experiments.Versions(), Seed: r.study.config.Seed,
	}
	return run, nil
}

// each opens the study of every model and does something with it. The later models are opened once before the first is
// studied: a mistake in the last should not cost the time before.
func (r *textRun) each(do func(study *experiments.Study, names []string, short string) error) error {
	short := session.ShortNames(r.names)
	for _, name := range r.names[1:] {
		if _, _, err := r.studies.open(name); err != nil {
			return err
		}
	}
	for i, name := range r.names {
		study, names, err := r.studies.open(name)
		if err != nil {
			return err
		}
		if err := do(study, names, short[i]); err != nil {
			return err
		}
		r.meta.Checkpoints[name] = study.Model.Hash
		if study.Reference != nil && study.Model.Text == nil {
			r.meta.Checkpoints[r.study.reference] = study.Reference.Hash
		}
		if r.meta.Data[r.pictures.spec], err = study.Data.Hash(); err != nil {
			return err
		}
		if study.Training != nil {
			if r.meta.Data[r.study.training], err = study.Training.Hash(); err != nil {
				return err
			}
		}
		r.config.Align = study.Align
	}
	return nil
}

// finish writes the numbers; the figures are written already, as they can fail for want of space and then no result.json
// says that all is there.
func (r *textRun) finish(result any, table experiments.Table, settings any) error {
	if err := experiments.WriteTable(r.out, table); err != nil {
		return err
	}
	align := r.config.Align
	r.config = textConfig{
		Models: r.names, Data: r.pictures.spec, Labels: r.pictures.labels, Pictures: r.pictures.pictures, Shuffle: r.pictures.order(), Keep: r.pictures.rounded(), Precision: r.models.narrow(),
		Reference: r.study.reference, AlignData: r.study.training, AlignPictures: r.study.trainingSize, Align: align, Aligner: r.study.aligner,
		Blocks: r.study.blocks, Features: r.study.features, Bank: r.bank, Names: r.models.classNames, Templates: r.models.templates,
		HeadData: r.config.HeadData, Batch: r.pictures.batch, ImageSize: r.models.imageSize, Orient: r.pictures.orient, MaxBad: r.pictures.maxBad,
		Experiment: settings,
	}
	r.meta.Config, r.meta.Seconds = r.config, time.Since(r.start).Seconds()
	if err := experiments.WriteResult(r.out, result, r.meta); err != nil {
		return err
	}
	fmt.Fprintf(r.c.OutOrStdout(), "wrote %s, and %s beside it\n", filepath.Join(r.out, experiments.ResultFile), experiments.TableFile)
	return nil
}

// say writes a line of results.
func (r *textRun) say(format string, args ...any) {
	fmt.Fprintf(r.c.OutOrStdout(), format+"\n", args...)
}

// save writes a figure under a name.
func (r *runner) save(name string, figure *plots.Figure) error {
	return r.figures.save(figure, filepath.Join(r.out, name))
}

// saveSheet writes a sheet of pictures under a name and that of its model.
func (r *runner) saveSheet(name, model string, sheet *plots.Sheet) error {
	name += "-" + strings.NewReplacer("/", "_", ":", "_", "\\", "_").Replace(model)
	return r.figures.save(sheet, filepath.Join(r.out, name))
}

func (r *runner) textRetrieval() error {
	run, err := r.text("text-retrieval")
	if err != nil {
		return err
	}
	features, err := run.studies.featureList("retrieval", "scenes")
	if err != nil {
		return err
	}
	config := experiments.TextRetrievalConfig{Features: features, Group: 3, Groups: 4, Top: 9}
	result := experiments.TextRetrievalResult{Top: config.Top}
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		reading, err := study.Open(r.c.Context())
		if err != nil {
			return err
		}
		defer reading.Close()
		sheet, err := experiments.TextRetrieval(r.c.Context(), reading, config)
		if err != nil {
			return err
		}
		sheet.Model = short
		result.Sheets = append(result.Sheets, sheet)
		for _, feature := range sheet.Features {
			if feature.Share != nil {
				run.say("%s: %s: %.0f %% of the %d best are true with the first %d components, %.0f %% of all pictures", short, feature.Feature,
					100*feature.Share[0], config.Top, len(feature.Groups[0].Components), 100*feature.Base)
			}
		}
		drawn, err := plots.TextRetrieval(sheet, session.Album{Dataset: study.Data, Orient: study.Orient}, plots.TextRetrievalOptions{})
		if err != nil {
			return err
		}
		return run.saveSheet("text-retrieval", short, drawn)
	})
	if err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}

func (r *runner) ranking() error {
	run, err := r.text("ranking")
	if err != nil {
		return err
	}
	features, err := run.studies.featureList("ranking", "scenes")
	if err != nil {
		return err
	}
	config := experiments.RankingConfig{Features: features, Instances: 4}
	var result experiments.RankingResult
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		reading, err := study.Open(r.c.Context())
		if err != nil {
			return err
		}
		defer reading.Close()
		model, err := experiments.Ranking(r.c.Context(), reading, config)
		if err != nil {
			return err
		}
		model.Model = short
		result.Models = append(result.Models, model)
		run.say("%s: agreement (Spearman) %.3f within a component, %.3f between components", short, model.Within, model.Between)
		return nil
	})
	if err != nil {
		return err
	}
	figure, err := plots.Ranking(result)
	if err != nil {
		return err
	}
	if err := run.save("ranking", figure); err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}

func (r *runner) imageRetrieval() error {
	run, err := r.text("image-retrieval")
	if err != nil {
		return err
	}
	features, err := run.studies.featureList("retrieval", "scenes")
	if err != nil {
		return err
	}
	config := experiments.ImageRetrievalConfig{Features: features, Probes: r.probes, Nearest: 3, Counted: 200}
	var result experiments.ImageRetrievalResult
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		reading, err := study.Open(r.c.Context())
		if err != nil {
			return err
		}
		defer reading.Close()
		own := config
		own.Components = experiments.PaperComponents(study.Model.ArchName)
		sheet, err := experiments.ImageRetrieval(r.c.Context(), reading, own)
		if err != nil {
			return err
		}
		sheet.Model = short
		result.Sheets = append(result.Sheets, sheet)
		for _, share := range sheet.Shares {
			run.say("%s: %s: %.0f %% of the nearest are alike, %.0f %% of all pictures", short, share.Feature, 100*share.Share, 100*share.Base)
		}
		if len(sheet.Probes) == 0 {
			return nil
		}
		drawn, err := plots.ImageRetrieval(sheet, session.Album{Dataset: study.Data, Orient: study.Orient})
		if err != nil {
			return err
		}
		return run.saveSheet("image-retrieval", short, drawn)
	})
	if err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}

func (r *runner) alignment() error {
	run, err := r.text("alignment")
	if err != nil {
		return err
	}
	if r.study.aligner != "" {
		return usagef("alignment trains the alignments that it compares: --aligner does not go with it")
	}
	if r.bank == "" {
		r.bank = run.studies.bankName()
	}
	bank, err := phrases.OpenBank(r.bank)
	if err != nil {
		return fmt.Errorf("--bank: %w", err)
	}
	config := experiments.AlignmentConfig{Lambdas: []float64{0}, Components: 10, Bank: bank}
	if lambda := r.study.config.Lambda; lambda != 0 {
		config.Lambdas = append(config.Lambdas, lambda)
	}
	var result experiments.AlignmentResult
	r.head.setDefault(r.pictures)
	err = run.each(func(study *experiments.Study, names []string, short string) error {
		if err := run.giveHead(study, names); err != nil {
			return err
		}
		model, err := experiments.CompareAlignments(r.c.Context(), study, config)
		if err != nil {
			return err
		}
		model.Model = short
		result.Models = append(result.Models, model)
		for _, method := range model.Methods {
			run.say("%s: %s: cosine similarity %.3f, match rate %.2f (chance %.2f)", short, method.Name, method.Cosine, method.MatchRate, method.Chance)
		}
		return nil
	})
	if err != nil {
		return err
	}
	figure, err := plots.Alignment(result)
	if err != nil {
		return err
	}
	if err := run.save("alignment", figure); err != nil {
		return err
	}
	if err := experiments.WriteTableAs(r.out, "descriptions.csv", result.Descriptions()); err != nil {
		return err
	}
	config.Bank = nil // it is named by the configuration
	return run.finish(result, result.Table(), config)
}

// giveHead gives the study a model with a head: a CLIP's made of words, or a linear one.
func (r *textRun) giveHead(study *experiments.Study, names []string) (err error) {
	ctx := r.c.Context()
	switch {
	case study.Model.Text != nil:
		if len(names) == 0 {
			return fmt.Errorf("%s is described through a head made of the names of classes; give them with --class-names FILE", study.Model.Name)
		}
		study.Head, err = r.models.zeroShot(ctx, study.Model, names)
	case study.Model.Arch.NumClasses() == 0:
		extraction := study.Extraction
		var trainedOn string
		if study.Head, trainedOn, err = r.head.train(r.c, extraction); err == nil {
			r.meta.Data[r.head.spec] = trainedOn
			r.config.HeadData = r.head.spec
		}
	}
	return err
}

func (r *runner) causal() error {
	run, err := r.text("causal")
	if err != nil {
		return err
	}
	features, err := run.studies.featureList("scenes", "scenes")
	if err != nil {
		return err
	}
	config := experiments.CausalConfig{Features: features, Ablated: r.ablated, Order: experiments.CausalOrder(r.order), Seeds: 5, Draws: 400}
	var result experiments.CausalResult
	err = run.each(func(study *experiments.Study, _ []string, short string) error {
		model, err := experiments.Causal(r.c.Context(), study, config)
		if err != nil {
			return err
		}
		model.Model = short
		result.Models = append(result.Models, model)
		for _, f := range model.Features {
			run.say("%s: %s: causal score %.2f deviations of random sets (p = %.2g)", short, f.Feature, f.Score.Mean, f.P)
		}
		return nil
	})
	if err != nil {
		return err
	}
	figure, err := plots.Causal(result)
	if err != nil {
		return err
	}
	if err := run.save("causal", figure); err != nil {
		return err
	}
	return run.finish(result, result.Table(), config)
}
