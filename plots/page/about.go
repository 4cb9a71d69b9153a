package page

// Description is what an experiment is and what the paper claims of it.
type Description struct {
	Title string
	Claim string // empty for what the paper does not have
}

// descriptions are of arXiv 2406.01583, by the names that run knows.
var descriptions = map[string]Description{
	"ablation": {
		"Layer ablation",
		"Only the last blocks write what the prediction needs directly into the representation: those before can be replaced by " +
			"their mean over the pictures at little cost in accuracy, which is why the other experiments take only the last ones apart.",
	},
	"text-retrieval": {
		"Pictures found by a text",
		"The components to which a feature is attributed most find, by themselves, pictures that show what a text about that " +
			"feature says; the further down the order, the less.",
	},
	"ranking": {
		"Agreement with CLIP's ranking",
		"The attribution can be trusted: the more of a feature it says that a component carries, the more the component ranks " +
			"pictures as CLIP does by texts about that feature.",
	},
	"image-retrieval": {
		"Pictures found by a picture",
		"A few components chosen for one property find pictures that are like a given one in this property, whatever else they show.",
	},
	"heatmaps": {
		"Token heatmaps",
		"Split further by image token, the heads that carry a feature show where in a picture what a text says comes from.",
	},
	"segmentation": {
		"Zero-shot segmentation",
		"What the image tokens add to the logit of the true class outlines its object, for every model better than GradCAM and, " +
			"where that can be applied, the method of Chefer et al.",
	},
	"waterbirds": {
		"Spurious correlations (Waterbirds)",
		"Replacing by their mean the ten components that carry the background more than the bird raises the accuracy of the worst " +
			"group of every model, and the mean of the groups too.",
	},
	"alignment": {
		"Alignment quality",
		"A linear map for each component, kept near an isometry, takes contributions into CLIP's space so that texts describe them " +
			"as the model's own head does, more often than with one map for all or with maps that are free.",
	},
	"causal": {Title: "Causal test"},
}

// About describes an experiment by the name that run knows it by; one that is not known has its name for a title.
func About(experiment string) Description {
	if d, ok := descriptions[experiment]; ok {
		return d
	}
	return Description{Title: experiment}
}
