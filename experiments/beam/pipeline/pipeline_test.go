package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/safetensors"
)

var provision = flag.String("provision_endpoint", "", "set by the runner where it starts the test's binary as a worker")

func TestMain(m *testing.M) {
	// The tests' model is so small that the pure-Go backend is done before XLA has compiled.
	os.Setenv("GOMLX_BACKEND", "go")
	data.Register(data.Kind{Name: "faulty", Argument: "FAULT:PICTURE:MARKER:N", Open: openFaulty})
	flag.Parse()
	log.SetLogger(&log.Standard{Level: log.SevError})
	register.Function1x1(nameOf)
	beam.Init()
	if *provision != "" {
		if err := Work(context.Background(), flag.Lookup("id").Value.String(), *provision); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	retryPauses = []time.Duration{10 * time.Millisecond}
	os.Exit(m.Run())
}

// faulty is a data set of scenes in which one picture goes wrong the first time that any process asks for it.
type faulty struct {
	data.Dataset
	// fault "fails" makes the picture unreadable, "waits" makes it late, "kills" ends the process; "slow" makes all pictures
	// slow instead.
	fault  string
	at     int
	marker string // a file that is there when it has happened
}

// openFaulty reads FAULT:PICTURE:MARKER:N.
func openFaulty(_ context.Context, argument string, opts data.Options) (data.Dataset, error) {
	fields := strings.Split(argument, ":")
	at, err := strconv.Atoi(fields[1])
	if err != nil {
		return nil, err
	}
	ds, err := data.Open("scenes:"+fields[3], opts)
	return faulty{ds, fields[0], at, fields[2]}, err
}

func (f faulty) Picture(i int) (*picture.Picture, error) {
	if f.fault == "slow" {
		time.Sleep(30 * time.Millisecond)
	} else if i == f.at {
		if file, err := os.OpenFile(f.marker, os.O_CREATE|os.O_EXCL, 0o666); err == nil {
			file.Close()
			switch f.fault {
			case "kills":
				os.Exit(3)
			case "waits":
				time.Sleep(4 * time.Second)
				return f.Dataset.Picture(i)
			}
			return nil, fmt.Errorf("scene %d cannot be read today", i)
		}
	}
	return f.Dataset.Picture(i)
}

// tinyModel writes the checkpoint directory of a ViT of 2 blocks, 2 heads and 5 classes for 16 x 16 pictures in 4 patches,
// with random weights that are large enough for every part to matter.
func tinyModel(t testing.TB) string {
	t.Helper()
	const name = "vit_tiny_patch16_224"
	args := map[string]any{"img_size": 16.0, "patch_size": 8.0, "embed_dim": 12.0, "depth": 2.0, "num_heads": 2.0, "num_classes": 5.0}
	arch, err := gomlxvit.Timm(name, args)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 0))
	var tensors []safetensors.Tensor
	for _, p := range arch.Params() {
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		numbers := make([]float32, size)
		for i := range numbers {
			numbers[i] = float32(rng.NormFloat64() * 0.4)
		}
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: numbers})
	}
	config, err := json.Marshal(map[string]any{
		"architecture": name, "num_classes": 5, "model_args": args,
		"pretrained_cfg": map[string]any{
			"input_size": []int{3, 16, 16}, "crop_pct": 1.0, "interpolation": "bicubic", "mean": []float64{0.5, 0.5, 0.5}, "std": []float64{0.5, 0.5, 0.5},
		},
	})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666))
	require.NoError(t, safetensors.Write(filepath.Join(dir, "model.safetensors"), nil, tensors))
	return dir
}

// tinyJob is 38 scenes in 10 chunks of 4, the last of them short, and 5 shards.
func tinyJob(t testing.TB) Job {
	t.Helper()
	return Job{
		Options: session.Options{Model: tinyModel(t), Data: "scenes:38", Keep: "float32", Batch: 4},
		Split:   "heads", Biases: "const", Chunks: 2, Store: t.TempDir(),
	}
}

// with is the job with a fault at a picture.
func (j Job) with(t testing.TB, fault string, at int) Job {
	t.Helper()
	j.Data = fmt.Sprintf("faulty:%s:%d:%s:38", fault, at, filepath.Join(t.TempDir(), "marker"))
	return j
}

// files maps the names of all files below a directory to the hashes of their contents, but for the temporary files that a
// worker leaves when it is killed.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	content := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		content[name] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	}))
	return content
}

// requireUndisturbed fails unless the job's store is, byte for byte, what one machine makes of the same scenes.
func requireUndisturbed(t testing.TB, job Job) {
	t.Helper()
	b, err := session.Backend()
	require.NoError(t, err)
	model, err := session.OpenModel(t.Context(), job.Options)
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = (&extraction.Extraction{
		Backend: b, Model: model, Data: scenes.New(0, 38), Batch: job.Batch, Options: decompose.Options{Split: decompose.Heads, Biases: decompose.BiasesApart},
		CacheDir: dir,
	}).Extract(t.Context())
	require.NoError(t, err)
	want, got := files(t, dir), files(t, job.Store)
	require.Len(t, want, 12, "10 chunks, the key and the manifest")
	require.Equal(t, want, got)
}

// onProcesses makes jobs run on worker processes, each of which is the test's binary.
func onProcesses(t testing.TB) {
	t.Helper()
	config, err := json.Marshal(map[string]string{"command": os.Args[0]})
	require.NoError(t, err)
	environment(t, "PROCESS", string(config))
}

func environment(t testing.TB, kind, config string) {
	t.Helper()
	oldKind, oldConfig, oldBinary := *jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary
	t.Cleanup(func() {
		*jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary = oldKind, oldConfig, oldBinary
	})
	*jobopts.EnvironmentType, *jobopts.EnvironmentConfig = kind, config
	// Nobody starts what is staged for workers here, but Beam would compile it.
	*jobopts.WorkerBinary = filepath.Join(t.TempDir(), "worker")
	require.NoError(t, os.WriteFile(*jobopts.WorkerBinary, []byte("not used"), 0o666))
}

func TestEqualsOneMachine(t *testing.T) {
	job := tinyJob(t).with(t, "slow", 0)
	totals, err := Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	requireUndisturbed(t, job)
	t.Log(totals)
	require.Greater(t, totals.Bundles, int64(1), "Prism splits slow bundles")
	require.Greater(t, totals.ShardMax, time.Duration(0))
	totals.Bundles, totals.ShardMin, totals.ShardMax, totals.ShardSum = 0, 0, 0, 0
	require.Equal(t, Totals{Pictures: 38, ChunksWritten: 10, Shards: 5}, totals)

	again, err := Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	require.Zero(t, again.Pictures)
	require.Equal(t, int64(10), again.ChunksFound)
	requireUndisturbed(t, job)
}

func TestABundleFails(t *testing.T) {
	job := tinyJob(t).with(t, "fails", 21)
	_, err := Run(t.Context(), "prism", job, Tries{})
	require.ErrorContains(t, err, "pictures 16 to 23: scene 21 cannot be read today")
	for name := range files(t, job.Store) {
		require.NotEqual(t, "manifest.json", filepath.Base(name))
	}
	totals, err := Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	// The fault was in the shard's second chunk: its first was kept.
	require.GreaterOrEqual(t, totals.ChunksFound, int64(1))
	require.Equal(t, int64(10), totals.ChunksFound+totals.ChunksWritten)
	requireUndisturbed(t, job)

	t.Run("and is tried again", func(t *testing.T) {
		job := job.with(t, "fails", 21)
		job.Store = t.TempDir()
		totals, err := Run(t.Context(), "prism", job, Tries{Attempts: 2})
		require.NoError(t, err)
		require.Zero(t, totals.BadPictures)
		requireUndisturbed(t, job)
	})
}

func TestAWorkerDies(t *testing.T) {
	onProcesses(t)
	job := tinyJob(t).with(t, "kills", 21)
	totals, err := Run(t.Context(), "prism", job, Tries{Attempts: 2, Limit: 8 * time.Second})
	require.NoError(t, err)
	_, err = os.Stat(strings.Split(job.Data, ":")[3])
	require.NoError(t, err, "the worker was killed")
	// It was killed in the shard's second chunk: the first was there.
	require.GreaterOrEqual(t, totals.ChunksFound, int64(1))
	requireUndisturbed(t, job)
}

func TestAnAttemptThatTakesTooLong(t *testing.T) {
	job := tinyJob(t).with(t, "waits", 21)
	_, err := Run(t.Context(), "prism", job, Tries{Limit: 2 * time.Second})
	require.ErrorContains(t, err, "not done after 2s")
	totals, err := Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, totals.ChunksFound, int64(1))
	requireUndisturbed(t, job)
}

func TestTwoJobsOfTheSameShardsAtOnce(t *testing.T) {
	onProcesses(t)
	job := tinyJob(t)
	startPrism(t)
	var group sync.WaitGroup
	var written atomic.Int64
	errs := make(chan error, 2)
	slow := job.with(t, "slow", 0)
	for range 2 {
		group.Go(func() {
			totals, err := Run(t.Context(), "prism", slow, Tries{})
			written.Add(totals.ChunksWritten)
			errs <- err
		})
	}
	group.Wait()
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	require.GreaterOrEqual(t, written.Load(), int64(10))
	t.Logf("%d chunks computed by two jobs for 10", written.Load())
	requireUndisturbed(t, slow)
}

// startPrism makes sure that Prism's server is up, whose address all jobs of the process share.
func startPrism(t testing.TB) {
	t.Helper()
	_, err := Run(t.Context(), "prism", tinyJob(t), Tries{})
	require.NoError(t, err)
}

func TestAPoolOfWorkers(t *testing.T) {
	listener, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ServePool(ctx, port) }()
	waitFor(t, port, 10*time.Second)
	environment(t, "EXTERNAL", fmt.Sprintf("localhost:%d", port))
	job := tinyJob(t)
	_, err = Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	requireUndisturbed(t, job)
	stop()
	require.NoError(t, <-done)
}

func waitFor(t testing.TB, port int, limit time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", fmt.Sprintf("localhost:%d", port))
		if err == nil {
			connection.Close()
		}
		return err == nil
	}, limit, 50*time.Millisecond)
}

func nameOf(out extraction.LeftOut) string {
	return fmt.Sprint(out.Index, " ", filepath.Base(out.Name))
}

func TestPicturesThatCannotBeRead(t *testing.T) {
	job := tinyJob(t)
	job.Data, job.MaxBad = t.TempDir(), 1
	var names []string
	for i := range 12 {
		name := filepath.Join(job.Data, scenes.Classes[0], fmt.Sprintf("%02d.png", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		file, err := os.Create(name)
		require.NoError(t, err)
		require.NoError(t, png.Encode(file, scenes.Draw(0, uint64(i)).Picture().Image()))
		require.NoError(t, file.Close())
		names = append(names, name)
	}
	require.NoError(t, os.Truncate(names[5], 60))

	p, s := beam.NewPipelineWithRoot()
	passert.Equals(s, beam.ParDo(s, nameOf, Build(s, job)), "5 05.png")
	result, err := beam.Run(t.Context(), "prism", p)
	require.NoError(t, err)
	totals, complete := totalsOf(result)
	require.True(t, complete)
	require.Equal(t, int64(1), totals.BadPictures)
	require.Equal(t, int64(11), totals.Pictures)

	// The chunk is tried again, and still lacks the picture: it is counted, not forgotten.
	totals, err = Run(t.Context(), "prism", job, Tries{})
	require.NoError(t, err)
	require.Equal(t, int64(1), totals.BadPictures)
	require.Equal(t, int64(2), totals.ChunksFound)
	require.Equal(t, int64(1), totals.ChunksWritten)

	// One in each of two shards: neither shard has too many.
	require.NoError(t, os.Truncate(names[10], 60))
	_, err = Run(t.Context(), "prism", job, Tries{})
	require.ErrorContains(t, err, "2 of 12 pictures cannot be read and option MaxBad allows 1")
	job.MaxBad = 0
	_, err = Run(t.Context(), "prism", job, Tries{})
	require.ErrorContains(t, err, "05.png")
}

func TestAWorkerThatWouldComputeSomethingElse(t *testing.T) {
	job := tinyJob(t)
	shards, dataHash, err := job.open(t.Context(), Shard{})
	require.NoError(t, err)
	shard := Shard{First: 0, End: 8, Data: dataHash, Key: shards.Key()}
	_, err = shard.open(t.Context(), job)
	require.NoError(t, err)
	shard.Key = strings.Repeat("0", 64)
	_, err = shard.open(t.Context(), job)
	require.ErrorContains(t, err, "all workers need the same model")
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		change func(j *Job)
		says   string
	}{
		{func(j *Job) { j.Model = "" }, "option Model"},
		{func(j *Job) { j.Data = "" }, "option Data"},
		{func(j *Job) { j.Store = "" }, "option Store"},
		{func(j *Job) { j.Store = "here" }, "not an absolute path"},
		{func(j *Job) { j.MaxBad = -1 }, "option MaxBad: -1 is not at least 0"},
		{func(j *Job) { j.Batch = -1 }, "option Batch"},
		{func(j *Job) { j.Split = "tokens" }, "option Split"},
		{func(j *Job) { j.Biases = "none" }, "option Biases"},
		{func(j *Job) { j.Keep = "int8" }, "option Keep"},
		{func(j *Job) { j.Precision = "half" }, "option Precision"},
		{func(j *Job) { j.Blocks = "2..1" }, "option Blocks"},
		{func(j *Job) { j.Blocks = "0..2" }, "within 0..1"},
		{func(j *Job) { j.Data = "nothing:1" }, "no kind of data set"},
		{func(j *Job) { j.Model = "/nowhere" }, "/nowhere"},
	} {
		job := tinyJob(t)
		c.change(&job)
		_, err := Run(t.Context(), "prism", job, Tries{})
		require.ErrorContains(t, err, c.says)
	}
}

// flinkVariable is the environment variable that names Beam's job server for Flink: a directory of jars, such as "make flink"
// fetches, or one jar that holds them all.
const flinkVariable = "VITDECOMPOSE_FLINK_JOB_SERVER"

// jobServer starts a Flink of one machine that takes jobs at a port. What it has to say is said when the test fails.
func jobServer(t *testing.T, port int) {
	t.Helper()
	classpath := os.Getenv(flinkVariable)
	if classpath == "" {
		t.Skipf("make flink runs this on a Flink of one machine; %s may name the job server's jars", flinkVariable)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("java is missing")
	}
	if info, err := os.Stat(classpath); err != nil {
		t.Skipf("%s: %v", flinkVariable, err)
	} else if info.IsDir() {
		classpath = filepath.Join(classpath, "*")
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	server := exec.Command(java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath,
		"org.apache.beam.runners.flink.FlinkJobServerDriver", "--flink-master", "[local]", "--job-port", strconv.Itoa(port),
		"--artifact-port", "0", "--expansion-port", "0", "--artifacts-dir", t.TempDir())
	server.Stdout, server.Stderr = said, said
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		said.Close()
		if t.Failed() {
			content, _ := os.ReadFile(said.Name())
			t.Logf("the job server: %s", content)
		}
	})
	waitFor(t, port, 2*time.Minute)
}

func TestFlink(t *testing.T) {
	const port = 18099
	jobServer(t, port)
	environment(t, "LOOPBACK", "")
	endpoint, parallelism := *jobopts.Endpoint, *jobopts.Parallelism
	defer func() { *jobopts.Endpoint, *jobopts.Parallelism = endpoint, parallelism }()
	*jobopts.Endpoint, *jobopts.Parallelism = fmt.Sprintf("localhost:%d", port), 2

	job := tinyJob(t)
	_, err := Run(t.Context(), "flink", job, Tries{})
	require.NoError(t, err)
	requireUndisturbed(t, job)
	t.Run("a bundle fails", func(t *testing.T) {
		job := job.with(t, "fails", 21)
		job.Store = t.TempDir()
		_, err := Run(t.Context(), "flink", job, Tries{Attempts: 2})
		require.NoError(t, err)
		requireUndisturbed(t, job)
	})
}
