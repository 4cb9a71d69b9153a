package experiments

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// PublishedRow is what the paper reports of one model, by one method where it compares several.
type PublishedRow struct {
	Model      string    // as the paper calls it
	Checkpoint string    // as timm or open_clip publish it
	Method     string    // ByDecomposition, ByGradCAM or ByChefer; empty where there is one way
	Values     []float64 // one for each of PublishedTable.Measures
}

// PublishedTable are the numbers that the paper reports of an experiment, of full-size models on photographs.
type PublishedTable struct {
	Experiment string // as run calls it
	Source     string // where they are published
	URL        string
	Data       string // what they are of
	Measures   []string
	Decimals   int // that the paper prints
	Rows       []PublishedRow
}

const (
	paperName = "arXiv 2406.01583"
	paperURL  = "https://arxiv.org/abs/2406.01583"
)

// The checkpoints of the paper.
const (
	paperDeiT   = "deit_base_patch16_224"
	paperCLIP   = "ViT-B-16 laion2b_s34b_b88k"
	paperDINO   = "vit_base_patch16_224.dino"
	paperDINOv2 = "vit_base_patch14_dinov2.lvd142m"
	paperSwin   = "swin_base_patch4_window7_224"
	paperMaxViT = "maxvit_small_tf_224.in1k"
)

// paperAliases are the other names that the paper's checkpoints go by: with the tag that timm gives to what a name without
// one means, and as repositories of the Hugging Face Hub.
var paperAliases = map[string][]string{
	paperDeiT: {"deit_base_patch16_224.fb_in1k"},
	paperCLIP: {"CLIP-ViT-B-16-laion2B-s34B-b88K"},
	paperSwin: {"swin_base_patch4_window7_224.ms_in22k_ft_in1k"},
}

// published are the tables whose numbers are the target of a run on the real models and data.
var published = []PublishedTable{
	{
		Experiment: "waterbirds", Source: paperName + ", Table 3", URL: paperURL,
		Data: "the cleaned Waterbirds photographs", Decimals: 3,
		Measures: []string{"worst group, before", "worst group, after", "mean of groups, before", "mean of groups, after"},
		Rows: []PublishedRow{
			{Model: "DeiT", Checkpoint: paperDeiT, Values: []float64{.733, .815, .874, .913}},
			{Model: "CLIP", Checkpoint: paperCLIP, Values: []float64{.507, .744, .727, .790}},
			{Model: "DINO", Checkpoint: paperDINO, Values: []float64{.800, .911, .900, .938}},
			{Model: "DINOv2", Checkpoint: paperDINOv2, Values: []float64{.967, .978, .983, .986}},
			{Model: "SWIN", Checkpoint: paperSwin, Values: []float64{.834, .871, .927, .944}},
			{Model: "MaxViT", Checkpoint: paperMaxViT, Values: []float64{.777, .814, .875, .887}},
		},
	},
	{
		Experiment: "segmentation", Source: paperName + ", table of zero-shot segmentation", URL: paperURL,
		Data: "5000 photographs with masks", Decimals: 4,
		Measures: []string{"pixel accuracy", "mIoU", "mAP"},
		Rows: []PublishedRow{
			{Model: "DeiT", Checkpoint: paperDeiT, Method: ByDecomposition, Values: []float64{.7719, .5291, .8305}},
			{Model: "DeiT", Checkpoint: paperDeiT, Method: ByChefer, Values: []float64{.7307, .4785, .7870}},
			{Model: "DeiT", Checkpoint: paperDeiT, Method: ByGradCAM, Values: []float64{.6533, .4625, .7129}},
			{Model: "DINO", Checkpoint: paperDINO, Method: ByDecomposition, Values: []float64{.7577, .4863, .8111}},
			{Model: "DINO", Checkpoint: paperDINO, Method: ByChefer, Values: []float64{.7309, .4541, .8080}},
			{Model: "DINO", Checkpoint: paperDINO, Method: ByGradCAM, Values: []float64{.7045, .4309, .7481}},
			{Model: "MaxViT", Checkpoint: paperMaxViT, Method: ByDecomposition, Values: []float64{.7163, .4237, .7237}},
			{Model: "MaxViT", Checkpoint: paperMaxViT, Method: ByGradCAM, Values: []float64{.4732, .1705, .4243}},
			{Model: "SWIN", Checkpoint: paperSwin, Method: ByDecomposition, Values: []float64{.7136, .4338, .7620}},
			{Model: "SWIN", Checkpoint: paperSwin, Method: ByGradCAM, Values: []float64{.5973, .2360, .5365}},
		},
	},
}

// Published returns the numbers that the paper reports of an experiment, and false if none are known here.
func Published(experiment string) (PublishedTable, bool) {
	i := slices.IndexFunc(published, func(t PublishedTable) bool { return t.Experiment == experiment })
	if i < 0 {
		return PublishedTable{}, false
	}
	return published[i], true
}

// Of returns the rows about a checkpoint. It may be named as timm or open_clip name it, as a repository of the Hub
// ("hf:owner/repo", "hf:owner/repo@revision") or as a directory with such a name.
func (t PublishedTable) Of(checkpoint string) []PublishedRow {
	var rows []PublishedRow
	for _, r := range t.Rows {
		if isPaperCheckpoint(checkpoint, r.Checkpoint) {
			rows = append(rows, r)
		}
	}
	return rows
}

// isPaperCheckpoint reports whether a name means a checkpoint of the paper.
func isPaperCheckpoint(name, checkpoint string) bool {
	if repo, ok := strings.CutPrefix(name, "hf:"); ok {
		name, _, _ = strings.Cut(repo, "@")
	}
	name = strings.TrimRight(strings.ReplaceAll(name, `\`, "/"), "/")
	name = lettersAndDigits(name[strings.LastIndex(name, "/")+1:])
	return name == lettersAndDigits(checkpoint) ||
		slices.ContainsFunc(paperAliases[checkpoint], func(alias string) bool { return name == lettersAndDigits(alias) })
}

// lettersAndDigits is what names have in common that differ in case and in what stands between their parts.
func lettersAndDigits(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// ComparedRow is a published row with ours beside it.
type ComparedRow struct {
	PublishedRow
	Ours []float64 // as Values; nil where there is nothing to compare
	Why  string    // there is nothing
}

// Comparison is a published table with what a run gives beside it.
type Comparison struct {
	PublishedTable
	Compared []ComparedRow // a row for each of Rows
}

// CompareWaterbirds sets a result beside the published numbers, where it is of the same checkpoints. Checkpoints are the
// names that the user gave, by the names of the result's models; what is missing goes by the model's own name. If the
// pictures are not what the paper's are, otherData says what they are, and nothing is compared.
func CompareWaterbirds(result WaterbirdsResult, checkpoints map[string]string, otherData string) Comparison {
	const ablated = 10 // in the paper
	table, _ := Published("waterbirds")
	return compare(table, func(row PublishedRow) (ours []float64, why string) {
		m, why := runOf(result.Models, row, checkpoints, otherData, func(m ModelWaterbirds) string { return m.Model })
		switch {
		case why != "":
			return nil, why
		case m.Ablated != ablated:
			return nil, fmt.Sprintf("%d components are ablated here, %d in the paper", m.Ablated, ablated)
		case len(m.Groups) == 0 || slices.ContainsFunc(m.Groups, func(g BirdGroup) bool { return len(g.Accuracy) <= ablated }):
			return nil, "the result has no accuracies for it"
		}
		return []float64{m.Worst(0), m.Worst(ablated), m.Mean(0), m.Mean(ablated)}, ""
	})
}

// CompareSegmentation is [CompareWaterbirds] for segmentation.
func CompareSegmentation(result SegmentationResult, checkpoints map[string]string, otherData string) Comparison {
	table, _ := Published("segmentation")
	return compare(table, func(row PublishedRow) (ours []float64, why string) {
		m, why := runOf(result.Models, row, checkpoints, otherData, func(m ModelSegmentation) string { return m.Model })
		if why != "" {
			return nil, why
		}
		i := slices.IndexFunc(m.Scores, func(s MethodScore) bool { return s.Method == row.Method })
		if i < 0 {
			return nil, row.Method + " was not run"
		}
		return []float64{m.Scores[i].PixelAccuracy, m.Scores[i].MIoU, m.Scores[i].MAP}, ""
	})
}

// runOf finds the model of a run that a published row is about.
func runOf[M any](models []M, row PublishedRow, checkpoints map[string]string, otherData string,
	name func(M) string) (m M, why string) {
	for _, m := range models {
		checkpoint, ok := checkpoints[name(m)]
		if !ok {
			checkpoint = name(m)
		}
		if isPaperCheckpoint(checkpoint, row.Checkpoint) {
			return m, otherData
		}
	}
	return m, "not among the models of this run"
}

func compare(table PublishedTable, ours func(PublishedRow) ([]float64, string)) Comparison {
	c := Comparison{PublishedTable: table}
	for _, row := range table.Rows {
		values, why := ours(row)
		if slices.ContainsFunc(values, math.IsNaN) {
			values, why = nil, "the result is not a number"
		}
		c.Compared = append(c.Compared, ComparedRow{row, values, why})
	}
	return c
}
