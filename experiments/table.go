package experiments

import (
	"fmt"
	"slices"
	"strings"

	"vitdecompose/experiments/session"
)

// All are the experiments in the order of the paper; the one that it does not have comes last. An experiment is added here:
// the command line, sessions, the page of results and the documentation read this table.
func All() []Experiment {
	read := append(slices.Clone(session.Read), "features")
	return []Experiment{
		define(Experiment{
			Name: "ablation", Number: "1", Options: session.Classified, ready: classifies,
			About: "accuracy as components are replaced by their mean, from the first layer forward and from the last layer back",
			Title: "Layer ablation",
			Claim: "Only the last blocks write what the prediction needs directly into the representation: those before can be replaced by " +
				"their mean over the pictures at little cost in accuracy, which is why the other experiments take only the last ones apart.",
		}, Ablation, func(curves []AblationCurve) AblationResult { return AblationResult{Curves: curves} }),
		define(Experiment{
			Name: "text-retrieval", Number: "2", Options: read, ready: reads,
			About: "pictures that groups of components find for a text",
			Title: "Pictures found by a text",
			Claim: "The components that a feature is most attributed to find, on their own, pictures that show what a text about that " +
				"feature describes; the further down the order, the less.",
		}, TextRetrieval, func(all []ModelTextRetrieval) TextRetrievalResult {
			return TextRetrievalResult{Top: all[0].Top, Models: all}
		}),
		define(Experiment{
			Name: "ranking", Number: "3, Table 2", Options: read, ready: reads,
			About: "do components that carry a feature rank pictures as CLIP does?",
			Title: "Agreement with CLIP's ranking",
			Claim: "The attribution can be trusted: the more of a feature it says that a component carries, the more the component ranks " +
				"pictures as CLIP does by texts about that feature.",
		}, Ranking, func(models []ModelRanking) RankingResult { return RankingResult{Models: models} }),
		define(Experiment{
			Name: "image-retrieval", Number: "4", Options: read, ready: reads,
			About: "pictures that resemble another one in colour, in place, ...",
			Title: "Pictures found by a picture",
			Claim: "A few components chosen for one property find pictures that resemble a given one in that property, whatever else they show.",
		}, ImageRetrieval, func(all []ModelImageRetrieval) ImageRetrievalResult { return ImageRetrievalResult{Models: all} }),
		define(Experiment{
			Name: "heatmaps", Number: "5", Options: read, ready: reads,
			About: "where in a picture heads find what a text describes",
			Title: "Token heatmaps",
			Claim: "Split further by image token, the heads that carry a feature show where in a picture they find what a text describes.",
		}, Heatmaps, func(all []ModelHeatmaps) HeatmapResult { return HeatmapResult{Models: all} }),
		define(Experiment{
			Name: "segmentation", Number: "6, Table", Options: append(slices.Clone(session.Classified), "blocks"), ready: classifies, lacks: lacksMasks,
			About: "objects outlined by what image tokens add to the logit of the class, compared with GradCAM and Chefer et al.",
			Title: "Zero-shot segmentation",
			Claim: "What the image tokens add to the logit of the true class outlines its object, for every model better than GradCAM and, " +
				"where it can be applied, the method of Chefer et al.",
			Compare: func(r Result, checkpoints map[string]string, data string, _ any) Comparison {
				return CompareSegmentation(r.(SegmentationResult), checkpoints, otherPictures(data, "pixelimagenet", "imagenet-s"))
			},
		}, Segmentation, func(models []ModelSegmentation) SegmentationResult { return SegmentationResult{Models: models} }),
		define(Experiment{
			Name: "waterbirds", Number: "7, Table 3", ready: readsBirds, lacks: lacksBirds,
			Options: append([]string{"blocks", "classes", "templates", "training", "alignment", "aligner", "bank", "seed"}, session.Loading...),
			About:   "birds in the wrong place, before and after the components that carry the place are ablated",
			Title:   "Spurious correlations (Waterbirds)",
			Claim: "Replacing the ten components that carry the background more than the bird by their mean raises the accuracy of the worst " +
				"group of every model, and the mean of the groups too.",
			Compare: func(r Result, checkpoints map[string]string, _ string, config any) Comparison {
				return CompareWaterbirds(r.(WaterbirdsResult), checkpoints, otherPictures(config.(WaterbirdsConfig).Uncorrelated, "waterbirds"))
			},
		}, Waterbirds, func(models []ModelWaterbirds) WaterbirdsResult { return WaterbirdsResult{Models: models} }),
		define(Experiment{
			Name: "alignment", Number: "8, Table 1", ready: readsAndClassifies,
			Options: append([]string{"data", "blocks", "classes", "templates", "head", "training", "alignment", "bank", "seed"}, session.Loading...),
			About:   "ways of mapping into CLIP's space compared, and components in words",
			Title:   "Alignment quality",
			Claim: "A linear map for each component, kept close to an isometry, takes contributions into CLIP's space so that texts describe " +
				"them as the model's own head does, more often than with one map for all or with unconstrained maps.",
		}, CompareAlignments, func(models []ModelAlignment) AlignmentResult { return AlignmentResult{Models: models} }),
		define(Experiment{
			Name: "causal", Options: read, Trains: true, ready: reads, lacks: lacksTruths,
			About: "how much worse a feature is read out without the components that carry it",
			Title: "Causal test",
		}, Causal, func(models []ModelCausalTest) CausalResult { return CausalResult{Models: models} }),
	}
}

// Describing is [Describe] as an experiment that the paper does not have and [All] does not list.
func Describing() Experiment {
	return define(Experiment{
		Name: "describe", Options: append(slices.Clone(session.Read), "features", "bank"), ready: reads,
		About: "components in words", Title: "Components in words",
	}, Describe, func(words []Words) Words { return words[0] })
}

// Sweeping is [Sweep] likewise.
func Sweeping() Experiment {
	return define(Experiment{
		Name: "sweep", Options: aligning(), ready: reads,
		About: "alignments for several lambdas", Title: "Alignment against lambda",
	}, Sweep, func(curves []SweepCurve) SweepResult { return SweepResult{Curves: curves} })
}

// Aligning is [Align] likewise.
func Aligning() Experiment {
	return define(Experiment{
		Name: "align", Options: aligning(), ready: reads, About: "an alignment", Title: "Alignment",
	}, Align, func(models []Aligned) Aligned { return models[0] })
}

// aligning are the options for training alignments.
func aligning() []string {
	return append([]string{"data", "blocks", "templates", "training", "alignment", "seed"}, session.Loading...)
}

// Find is the experiment of a name.
func Find(name string) (Experiment, error) {
	var names []string
	for _, e := range All() {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Experiment{}, fmt.Errorf("unknown experiment %q (known: %s)", name, strings.Join(names, ", "))
}

// otherPictures says that pictures are not of the kinds that the paper's are, "" where they are.
func otherPictures(spec string, kinds ...string) string {
	switch kind := session.Kind(spec); {
	case slices.Contains(kinds, kind):
		return ""
	case session.Drawn(spec):
		return "the pictures are drawn scenes"
	}
	return "the pictures are not the paper's: " + spec
}
