package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots"
)

// result is result.json as somebody else reads it.
type result struct {
	Experiment  string            `json:"experiment"`
	Config      map[string]any    `json:"config"`
	Seed        *uint64           `json:"seed"`
	Checkpoints map[string]string `json:"checkpoints"`
	Data        map[string]string `json:"data"`
	Assumptions []string          `json:"assumptions"`

	Representations map[string]string `json:"representations"`
	Versions        map[string]string `json:"versions"`
	Seconds         float64           `json:"seconds"`
	Result          struct {
		Curves []experiments.AblationCurve `json:"curves"`
	} `json:"result"`
}

func readResult(t testing.TB, dir string) (r result) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&r))
	return r
}

// written checks the files that a run leaves in its directory.
func written(t testing.TB, dir string) {
	t.Helper()
	for name, begins := range map[string]string{
		"result.json": "{", "table.csv": "model,pictures,direction,", "ablation.png": "\x89PNG", "ablation.svg": "<?xml", "ablation.pdf": "%PDF-",
		"ablation.txt": "Layer ablation. ", "ablation.tex": `\caption[Layer ablation]{`,
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(content), begins), "%s begins with %q", name, content[:min(len(content), 40)])
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 7)
}

func TestRunAblation(t *testing.T) {
	model, store := tinyModel(t), t.TempDir()
	var drawn atomic.Int64
	watch(t, func(int) { drawn.Add(1) })
	out := filepath.Join(t.TempDir(), "new", "ablation")
	args := []string{"run", "ablation", "--model", model, "--data", "watched:21:3", "--cache", store, "--batch", "8"}

	stdout := succeed(t, append(args, "--out", out)...)
	require.Regexp(t, `^tiny: 21 pictures, accuracy \d+\.\d %; \|sum of components - representation\| is at most \d\.\de-\d\d of the representation\nwrote `, stdout)
	require.Equal(t, int64(21), drawn.Load())
	written(t, out)

	r := readResult(t, out)
	require.Equal(t, "ablation", r.Experiment)
	require.Equal(t, map[string]any{"models": []any{model}, "data": "watched:21:3", "precision": "float32", "keep": "float32", "batch": 8.0, "experiment": map[string]any{}}, r.Config)
	require.NotNil(t, r.Seed)
	require.Regexp(t, `^[0-9a-f]{64}$`, r.Checkpoints[model])
	require.Regexp(t, `^[0-9a-f]{64}$`, r.Data["watched:21:3"])
	require.Contains(t, r.Versions, "vitdecompose")
	require.Contains(t, r.Versions, "go")
	require.Positive(t, r.Seconds)
	require.Len(t, r.Result.Curves, 1)
	curve := r.Result.Curves[0]
	require.NoError(t, curve.Check())
	require.Equal(t, "tiny", curve.Model, "figures name the directory, not the path")
	require.Equal(t, 21, curve.Pictures)
	require.Equal(t, []string{"init", "layer:00, mlp", "layer:00, attns", "layer:01, mlp", "layer:01, attns"}, curve.Order)
	require.Equal(t, curve.FromInit[0], curve.FromLast[0])

	table, err := os.ReadFile(filepath.Join(out, "table.csv"))
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+2*6)

	t.Run("again, from the cache", func(t *testing.T) {
		drawn.Store(0)
		again := filepath.Join(t.TempDir(), "again")
		require.Equal(t, stdout[:strings.Index(stdout, "wrote")], strings.SplitAfter(succeed(t, append(args, "--out", again)...), "\n")[0])
		require.Zero(t, drawn.Load(), "no picture is looked at")
		require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, again))
		for _, figure := range []string{"ablation.png", "ablation.svg", "table.csv"} {
			a, err := os.ReadFile(filepath.Join(out, figure))
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(again, figure))
			require.NoError(t, err)
			require.Equal(t, a, b, figure)
		}
	})
	t.Run("again, without the cache", func(t *testing.T) {
		again := filepath.Join(t.TempDir(), "again")
		succeed(t, "run", "ablation", "--model", model, "--data", "watched:21:3", "--cache", t.TempDir(), "--out", again)
		require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, again))
	})
	t.Run("a damaged chunk is computed again", func(t *testing.T) {
		chunks, err := filepath.Glob(filepath.Join(store, "*", "chunk-00000008-*.safetensors"))
		require.NoError(t, err)
		require.Len(t, chunks, 1)
		content, err := os.ReadFile(chunks[0])
		require.NoError(t, err)
		content[len(content)-1] ^= 1
		require.NoError(t, os.WriteFile(chunks[0], content, 0o666))
		drawn.Store(0)
		again := filepath.Join(t.TempDir(), "again")
		code, _, stderr := program(t, append(args, "--out", again)...)
		require.Equal(t, exitDone, code)
		require.Contains(t, stderr, chunks[0])
		require.Equal(t, 1, strings.Count(stderr, "\n"))
		require.Equal(t, int64(8), drawn.Load())
		require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, again))
	})
	t.Run("some pictures", func(t *testing.T) {
		some := filepath.Join(t.TempDir(), "some")
		succeed(t, append(args, "--out", some, "--pictures", "5")...)
		require.Equal(t, 5, readResult(t, some).Result.Curves[0].Pictures)
	})
	t.Run("all", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "all")
		args := append([]string{"run", "all"}, args[2:]...)
		t.Setenv("GOMLX_BACKEND", usersBackend) // for the reference
		stdout := succeed(t, append(args, "--out", dir, "--features", "scenes", "--align-data", "scenes:20:1", "--align-epochs", "1", "--reference", "clip-ref-mini")...)
		written(t, filepath.Join(dir, "ablation"))
		for _, name := range []string{"text-retrieval", "ranking", "image-retrieval", "alignment"} {
			require.FileExists(t, filepath.Join(dir, name, "result.json"))
		}
		require.Contains(t, stdout, "causal is left out", "what is watched does not tell its truth")
		index, err := os.ReadFile(filepath.Join(dir, "index.html"))
		require.NoError(t, err)
		for _, want := range []string{"data:image/svg", "Layer ablation", "causal is left out", "table.csv", "watched:21:3"} {
			require.True(t, bytes.Contains(index, []byte(want)), "the page has no %s", want)
		}
	})
}

// withoutSeconds is result.json without the one field that differs between runs.
func withoutSeconds(t testing.TB, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	var kept []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, `  "seconds":`) {
			kept = append(kept, line)
		}
	}
	require.Equal(t, strings.Count(string(content), "\n")-1, len(kept))
	return strings.Join(kept, "")
}

func TestRunTwoModels(t *testing.T) {
	dir := t.TempDir()
	first, second, other := filepath.Join(dir, "a", "tiny"), filepath.Join(dir, "b", "tiny"), filepath.Join(dir, "b", "other")
	for seed, path := range []string{first, second, other} {
		writeModel(t, path, tinyConfig(), tinyWeights(t, uint64(seed)))
	}
	out := filepath.Join(dir, "out")
	succeed(t, "run", "ablation", "--model", first+","+other, "--data", "scenes:8", "--cache", dir, "--out", out)
	require.InDelta(t, plots.PageWidth.Points(), svgWidth(t, filepath.Join(out, "ablation")), 0.1, "two models want a page")
	column := filepath.Join(dir, "column")
	succeed(t, "run", "ablation", "--model", first+","+other, "--data", "scenes:8", "--cache", dir, "--out", column, "--width", "column")
	require.InDelta(t, plots.ColumnWidth.Points(), svgWidth(t, filepath.Join(column, "ablation")), 0.1)
	require.Equal(t, withoutSeconds(t, out), withoutSeconds(t, column), "the width of a figure changes no number")
	r := readResult(t, out)
	require.Len(t, r.Result.Curves, 2)
	require.Equal(t, "tiny", r.Result.Curves[0].Model)
	require.Equal(t, "other", r.Result.Curves[1].Model)
	require.Len(t, r.Checkpoints, 2)
	written(t, out)

	require.Equal(t, []string{first, second, "other", "hf:timm/tiny"}, session.ShortNames([]string{first, second, other, "hf:timm/tiny"}))
	t.Chdir(first)
	require.Equal(t, []string{"tiny", "other"}, session.ShortNames([]string{".", "../../b/other/"}))
	require.Equal(t, []string{".", "../../b/tiny"}, session.ShortNames([]string{".", "../../b/tiny"}))
}

func TestRunOnPhotos(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	photos := filepath.Join(dir, "photos")
	files := writePictures(t, photos, 24)
	arguments := func(data string, more ...string) []string {
		return append([]string{"run", "ablation", "--model", model, "--cache", filepath.Join(dir, "cache"), "--data", data, "--out", filepath.Join(dir, "out")}, more...)
	}
	succeed(t, arguments("folder:"+photos)...)
	byFolder := readResult(t, filepath.Join(dir, "out")).Result.Curves[0]
	require.Equal(t, 24, byFolder.Pictures)

	t.Run("the kind may be left out", func(t *testing.T) {
		succeed(t, arguments(photos)...)
		r := readResult(t, filepath.Join(dir, "out"))
		require.Equal(t, byFolder, r.Result.Curves[0])
		require.Equal(t, photos, r.Config["data"], "as it was typed")
		require.Contains(t, r.Data, photos)

		t.Chdir(dir)
		require.NoError(t, os.Rename("photos", "my:photos"))
		defer func() { require.NoError(t, os.Rename("my:photos", "photos")) }()
		succeed(t, arguments("my:photos")...)
	})
	t.Run("labels from a file", func(t *testing.T) {
		// The same labels as by the names of the folders, as indices of the model's classes.
		var text strings.Builder
		text.WriteString("file,label\n")
		for _, file := range files {
			rel, err := filepath.Rel(photos, file)
			require.NoError(t, err)
			for class, label := range tinyLabels() {
				if label == filepath.Dir(rel) {
					fmt.Fprintf(&text, "%s,%d\n", filepath.ToSlash(rel), class)
				}
			}
		}
		labels := filepath.Join(dir, "labels.csv")
		require.NoError(t, os.WriteFile(labels, []byte(text.String()), 0o666))
		succeed(t, arguments("folder:"+photos, "--labels", labels)...)
		r := readResult(t, filepath.Join(dir, "out"))
		require.Equal(t, byFolder, r.Result.Curves[0])
		require.Equal(t, labels, r.Config["labels"])
	})
	t.Run("a picture that cannot be read", func(t *testing.T) {
		require.NoError(t, os.WriteFile(files[3], []byte("no picture"), 0o666))
		fail(t, exitFailed, []string{files[3]}, arguments(photos)...)

		code, _, stderr := program(t, arguments(photos, "--max-bad", "1")...)
		require.Equal(t, exitDone, code, stderr)
		require.Contains(t, stderr, "left out (1 of at most 1): ")
		require.Contains(t, stderr, files[3])
		require.Equal(t, 23, readResult(t, filepath.Join(dir, "out")).Result.Curves[0].Pictures)

		// The cache has all the others now, which must not hide the one.
		fail(t, exitFailed, []string{files[3]}, arguments(photos)...)

		for _, file := range files[8:16] { // a whole batch
			require.NoError(t, os.WriteFile(file, []byte("no picture"), 0o666))
		}
		code, _, stderr = program(t, arguments(photos, "--max-bad", "3")...)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "vitdecompose run ablation: more than 3 pictures cannot be read")
		code, _, stderr = program(t, arguments(photos, "--max-bad", "9")...)
		require.Equal(t, exitDone, code, stderr)
		require.Equal(t, 15, readResult(t, filepath.Join(dir, "out")).Result.Curves[0].Pictures)
	})
}

func TestRunMistakes(t *testing.T) {
	dir := t.TempDir()
	model := tinyModel(t)
	sorted, flat, two, strange := filepath.Join(dir, "sorted"), filepath.Join(dir, "flat"), filepath.Join(dir, "two"), filepath.Join(dir, "strange")
	file := writePictures(t, sorted, 1)[0]
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	write := func(content []byte, elements ...string) string {
		path := filepath.Join(append([]string{dir}, elements...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, content, 0o666))
		return path
	}
	write(content, "flat", "a.png")
	for _, class := range []string{"yes", "no"} {
		write(content, "two", class, "a.png")
	}
	write(content, "strange", "banana", "a.png")
	write(content, "strange", "spoon", "a.png")
	nameless := filepath.Join(dir, "nameless")
	config := tinyConfig()
	delete(config, "label_names")
	writeModel(t, nameless, config, tinyWeights(t, 1))
	twins := filepath.Join(dir, "twins")
	config = tinyConfig()
	labels := tinyLabels()
	labels[0], labels[5] = "Spoon", "s-poon"
	config["label_names"] = labels
	writeModel(t, twins, config, tinyWeights(t, 1))
	headless := filepath.Join(dir, "headless")
	writeHeadless(t, headless)
	taken := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, "result.json"), 0o777))

	for _, c := range []struct {
		name  string
		code  int
		args  string
		words []string
	}{
		{"no experiment", exitUsage, "run", []string{"vitdecompose run --help"}},
		{"unknown experiment", exitUsage, "run frob", []string{`"frob"`, "ablation, text-retrieval, ranking, image-retrieval, heatmaps, segmentation, waterbirds, alignment, causal, all"}},
		{"batch", exitUsage, "run ablation --batch 0", []string{"--batch"}},
		{"pictures", exitUsage, "run ablation --pictures -1", []string{"--pictures"}},
		{"twice", exitUsage, "run ablation --model a,a", []string{"--model", "twice"}},
		{"no model", exitFailed, "run ablation --data scenes:3 --model frob", []string{"--model: frob", "neither a shipped model nor a directory"}},
		{"no second model", exitFailed, "run ablation --model M,frob --data scenes:3", []string{"--model: frob"}},
		{"no head", exitFailed, "run ablation --data " + two + " --model " + headless, []string{"headless has no classifier head", "--head-data"}},
		{"no data for a head", exitFailed, "run ablation --data " + two + " --head-data nowhere --model " + headless, []string{"--head-data", "nowhere"}},
		{"no labels for a head", exitFailed, "run ablation --data " + two + " --head-data " + flat + " --model " + headless, []string{"--head-data", "no picture to train on has a label"}},
		{"no data", exitFailed, "run ablation --model M --data nowhere", []string{"--data", `"nowhere"`, "folder:DIR"}},
		{"no folder", exitFailed, "run ablation --model M --data folder:nowhere", []string{"--data", "nowhere", "no such file"}},
		{"folder without a name", exitFailed, "run ablation --model M --data folder:", []string{"--data", "folder:DIR"}},
		{"a file as data", exitFailed, "run ablation --model M --data " + file, []string{"--data", file, "not a directory"}},
		{"empty folder", exitFailed, "run ablation --model M --data " + t.TempDir(), []string{"--data", "no pictures found"}},
		{"unknown kind", exitFailed, "run ablation --model M --data frob:3", []string{"--data", `"frob"`, "folder, hf, imagenet"}},
		{"how many scenes", exitFailed, "run ablation --model M --data scenes:many", []string{"--data", "scenes:N"}},
		{"no labels", exitFailed, "run ablation --model M --data " + flat, []string{"no picture has a label", "--labels"}},
		{"no labels file", exitFailed, "run ablation --model M --data " + flat + " --labels nowhere.csv", []string{"--data", "nowhere.csv"}},
		{"labels beyond", exitFailed, "run ablation --model M --data " + flat + " --labels " + write([]byte("file,label\na.png,12\n"), "12.csv"), []string{"a.png has label 12", "12 classes"}},
		{"labels of nothing", exitFailed, "run ablation --model M --data " + flat + " --labels " + write([]byte("file,label\nb.png,1\n"), "b.csv"), []string{"b.csv", "b.png"}},
		{"labels of scenes", exitFailed, "run ablation --model M --data scenes:3 --labels " + write([]byte("file,label\nb.png,1\n"), "c.csv"), []string{"scenes", "c.csv"}},
		{"other classes", exitFailed, "run ablation --model M --data " + two, []string{"2 classes", "has 12", "no, yes", "--labels"}},
		{"one other class", exitFailed, "run ablation --model M --data " + strange, []string{"spoon", "--labels"}},
		{"no names to compare", exitFailed, "run ablation --model " + nameless + " --data " + two, []string{"does not name them", "--class-names"}},
		{"classes with one name", exitFailed, "run ablation --model " + twins + " --data " + strange, []string{"spoon", "class 0 or class 5", "--labels"}},
		{"birds of a model that is not shipped", exitFailed, "run waterbirds --model M", []string{"--correlated, --uncorrelated", "waterbirds:DIR", "is not one of them"}},
		{"photos of birds by the words of scenes", exitFailed, "run waterbirds --model dino-mini --correlated waterbirds:x --uncorrelated waterbirds:x", []string{"--reference", "clip-ref-mini", "only the words of drawn scenes", "--align-data"}},
		{"birds as data", exitUsage, "run waterbirds --data waterbirds:x", []string{"--correlated and --uncorrelated", "waterbirds:DIR:test"}},
		{"labels of birds", exitUsage, "run waterbirds --labels x", []string{"--correlated and --uncorrelated"}},
		{"out below a file", exitFailed, "run ablation --model M --data scenes:3 --out " + filepath.Join(file, "out"), []string{"--out", file}},
		{"a directory where result.json goes", exitFailed, "run ablation --model M --data scenes:3 --out " + taken, []string{"--out", "result.json"}},
		{"cache below a file", exitFailed, "run ablation --model M --data scenes:3 --cache " + filepath.Join(file, "cache"), []string{"the cache cannot be written", file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir()) // where results/ablation would be made
			fail(t, c.code, c.words, strings.Fields(strings.ReplaceAll(c.args, "--model M", "--model "+model))...)
		})
	}
}

// TestRunZoo takes all models apart that a plain `run ablation` does: a CLIP classifies by the data's class names, models
// without a head get one.
func TestRunZoo(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles six models; not with -short")
	}
	t.Setenv("GOMLX_BACKEND", usersBackend) // the models of the zoo are large for the pure-Go one
	out := t.TempDir()
	stdout := succeed(t, "run", "ablation", "--data", "scenes:40", "--head-data", "scenes:500:1", "--cache", t.TempDir(), "--batch", "20", "--out", out)
	written(t, out)
	r := readResult(t, out)
	require.Equal(t, "scenes:500:1", r.Config["head_data"])
	var names []string
	for _, curve := range r.Result.Curves {
		names = append(names, curve.Model)
		require.Equal(t, 40, curve.Pictures)
		least := 0.8
		if strings.HasPrefix(curve.Model, "dino") { // its head saw few scenes
			least = 0.4
		}
		require.GreaterOrEqual(t, curve.FromInit[0], least, curve.Model)
		require.Less(t, curve.FromInit[len(curve.Order)], 0.4, "%s with everything ablated", curve.Model)
		require.Contains(t, stdout, curve.Model+": 40 pictures, accuracy ")
	}
	require.Equal(t, zoo.Studied(), names)
}
