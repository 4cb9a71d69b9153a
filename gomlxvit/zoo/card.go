package zoo

import (
	"fmt"
	"path/filepath"
	"strings"

	"vitdecompose/data/scenes"
)

// writeCard writes the model card.
func (r *Recipe) writeCard(dir string, result *Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", r.Name, r.Summary)
	fmt.Fprintf(&b, "Trained on drawn scenes (package `data/scenes`, version %d): %d classes, told by form, with colour, pattern, place,\n"+
		"size and pose varied independently. Made by `vitdecompose train %s`.\n\n", scenes.Version, len(scenes.Classes), r.Name)
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	row := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, values...))
	}
	row("parameters", "%d, stored in half precision", result.Params)
	if r.openCLIP != nil {
		row("architecture", "open_clip's CLIP (`model_cfg` in %s)", openCLIPFile)
	} else {
		row("architecture", "`%s` with other sizes (`model_args` in %s)", r.Architecture, configFile)
	}
	row("classes of the scenes", "%s", strings.Join(scenes.Classes, ", "))
	for _, score := range result.Scores {
		row(fmt.Sprintf("%s, on held-out scenes (`scenes:%d`)", score.Test, result.Scenes), "%.1f %%", 100*score.Accuracy)
	}
	row("training", "%d steps of %d scenes, each drawn once; %.0f s", result.Steps, r.Batch, result.Seconds)
	row("at the end", "loss %.3f, %.1f %% right (%s) on scenes not seen before", result.Loss, 100*result.Accuracy, r.task.scored())
	row("optimizer", "AdamW (%v, %v), learning rate %v after %d steps, then a cosine to 0; weight decay %v; gradient norm at most %v",
		beta1, beta2, r.LearningRate, r.WarmUp, r.WeightDecay, clipNorm)
	row("objective", "%v", r.task)
	if r.Restart > 0 {
		row("restart", "at step %d the schedule begins anew with half the learning rate", r.Restart)
	}
	if r.FadeIn > 0 {
		row("curriculum", "objects before a grey ground at first; places fade in over the first %.0f %% of the steps", 100*r.FadeIn)
	}
	if r.From != "" {
		row("start", "the image transformer starts with the weights of %s", r.From)
	}
	row("seed", "%d", r.Seed)
	fmt.Fprintf(&b, "\nIts use is to try the methods of this project on any machine within seconds. It knows nothing of photographs.\n")
	return writeFile(filepath.Join(dir, cardFile), []byte(b.String()))
}
