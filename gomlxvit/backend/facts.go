package backend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"
)

// Report is what there is on this machine to compute with, and what is missing.
type Report struct {
	Requested   string   // GOMLX_BACKEND, "" when it is not set
	Config      string   // what GoMLX is asked for, "" when no backend could be chosen
	Description string   // the open backend in its own words, "" when it did not open
	Problem     error    // why it did not open
	Devices     []string // of the open backend
	Plugin      *PluginReport
	Caches      []Cache
	Cores       int               // CPU cores that Go uses
	Memory      uint64            // bytes this process may use, 0 when unknown
	Available   uint64            // bytes free for it now, 0 when unknown
	Versions    map[string]string // of the program and its parts, by name; Facts leaves them to its caller
	Advice      []string          // what to do about what is missing for any command
	Extras      []Extra           // what only some use; Facts leaves them to its caller
}

// Extra is a part of the program that works without it, and that only some use.
type Extra struct {
	Name, State string
	Advice      string // what to do to have it; "" where it is there
}

// PluginReport is a plugin whose whole file was read.
type PluginReport struct {
	Plugin
	Bytes    int64
	SHA256   string
	Compared bool // with the recorded SHA-256, and equal
	Source   string
}

// Cache is a directory that fills up.
type Cache struct {
	Name, Dir string
	Files     int
	Bytes     int64
	Problem   error // why it could not be measured in full
}

// Facts opens the backend that Open("") would open, closes it again, reads the
// whole plugin to compare its hash, and measures the cache directories: the
// plugin's and those it is given by name and directory.
func Facts(caches ...Cache) Report {
	r := Report{
		Requested: os.Getenv(compute.ConfigEnvVar),
		Cores:     runtime.GOMAXPROCS(0),
	}
	r.Memory, r.Available = memory()
	r.openBackend()
	if dir, err := CacheDir(); err == nil {
		caches = append([]Cache{{Name: "plugin", Dir: dir}}, caches...)
	}
	for _, c := range caches {
		r.Caches = append(r.Caches, measure(c))
	}
	r.advise()
	return r
}

// openBackend fills in the backend, its plugin and its devices.
func (r *Report) openBackend() {
	c, err := choose("")
	if err != nil {
		r.Problem = err
		return
	}
	r.Config = c.config()
	if c.fallback {
		r.Advice = append(r.Advice, FallbackLine)
	}
	if c.plugin != nil {
		r.Plugin, r.Problem = inspect(*c.plugin)
		if r.Problem != nil {
			return
		}
	}
	b, err := c.open()
	if err != nil {
		r.Problem = err
		return
	}
	defer b.Finalize()
	r.Description = b.Description()
	for i := range b.NumDevices() {
		r.Devices = append(r.Devices, b.DeviceDescription(compute.DeviceNum(i)))
	}
}

func inspect(p Plugin) (*PluginReport, error) {
	info, err := os.Stat(p.Path)
	if err != nil {
		return nil, err
	}
	report := &PluginReport{Plugin: p, Bytes: info.Size()}
	report.SHA256, report.Compared, err = p.Verify()
	if err != nil { // which says what the hash is, if it was taken
		report.SHA256, report.Compared = "", false
		return report, err
	}
	if report.Compared {
		m, err := readManifest(p.Path)
		if err != nil {
			return report, err
		}
		report.Source = m.Source + " " + m.Version
	}
	return report, nil
}

// advise adds what to do about what is missing.
func (r *Report) advise() {
	var damaged *DamagedError
	if errors.As(r.Problem, &damaged) || errors.Is(r.Problem, ErrNoPlugin) {
		r.Advice = append(r.Advice, r.Problem.Error())
	} else if r.Problem != nil {
		r.Advice = append(r.Advice, "the backend does not open; GOMLX_BACKEND=go computes without a plugin, slowly")
	}
	if gpus, err := filepath.Glob("/dev/nvidia[0-9]*"); err == nil && len(gpus) > 0 && !strings.Contains(r.Requested, "cuda") {
		advice := "there is an NVIDIA GPU: set GOMLX_BACKEND=xla:cuda to use it"
		if _, err := Find("cuda"); err != nil {
			advice += ", after " + cure("cuda")
		}
		r.Advice = append(r.Advice, advice)
	}
	if r.Available > 0 && r.Available < 3<<30 {
		r.Advice = append(r.Advice, fmt.Sprintf("only %s of memory are free; a base-size model needs about 3 GB: take smaller batches", size(r.Available)))
	}
}

// measure adds up the files under a directory. One that does not exist is empty.
func measure(c Cache) Cache {
	c.Problem = filepath.WalkDir(c.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed since the directory was read
			return nil
		}
		if err != nil {
			return err
		}
		c.Files++
		c.Bytes += info.Size()
		return nil
	})
	return c
}

// memory returns how many bytes this process may use and how many are free,
// where the system is Linux; a control group's limit counts.
func memory() (total, available uint64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	total, available = parseMeminfo(f)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && limit < total {
			total, available = limit, min(available, limit)
		}
	}
	return total, available
}

// parseMeminfo reads the total and available bytes of /proc/meminfo, whose
// numbers are in KiB.
func parseMeminfo(r io.Reader) (total, available uint64) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available
}

// size writes a number of bytes as a person reads it.
func size[N int64 | uint64](n N) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	x, i := float64(n), 0
	for x >= 1000 && i < len(units)-1 {
		x, i = x/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[i])
}

// Print writes the report, one fact a line, the advice last.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(t, what+"\t"+format+"\n", args...)
	}
	switch {
	case r.Problem != nil:
		row("backend", "does not open: %v", r.Problem)
	default:
		row("backend", "%s", r.Description)
	}
	if r.Requested != "" {
		row("GOMLX_BACKEND", "%s", r.Requested)
	}
	for i, d := range r.Devices {
		row(fmt.Sprintf("device %d", i), "%s", d)
	}
	if p := r.Plugin; p != nil {
		row("plugin", "%s (%s, %s)", p.Path, p.Place, size(p.Bytes))
		switch {
		case p.SHA256 == "":
		case p.Compared:
			row("plugin hash", "SHA-256 %s as recorded (%s)", p.SHA256, p.Source)
		default:
			row("plugin hash", "SHA-256 %s, not fetched by setup: nothing to compare with", p.SHA256)
		}
	}
	for _, c := range r.Caches {
		note := ""
		if c.Problem != nil {
			note = fmt.Sprintf(" (not all of it could be read: %v)", c.Problem)
		}
		row("cache: "+c.Name, "%s in %d files, %s%s", size(c.Bytes), c.Files, c.Dir, note)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		row(name, "%s", r.Versions[name])
	}
	row("CPU cores", "%d", r.Cores)
	if r.Memory > 0 {
		row("memory", "%s, %s available", size(r.Memory), size(r.Available))
	}
	for _, e := range r.Extras {
		row(e.Name, "%s", e.State)
	}
	for _, a := range r.Advice {
		row("to do", "%s", a)
	}
	for _, e := range r.Extras {
		if e.Advice != "" {
			row("to do for the "+e.Name, "%s", e.Advice)
		}
	}
	row("verdict", "%s", r.Verdict())
	return t.Flush()
}

// Verdict sums the report up in a line.
func (r Report) Verdict() string {
	var without []string
	for _, e := range r.Extras {
		if e.Advice != "" {
			without = append(without, e.Name)
		}
	}
	lacks := ""
	if len(without) > 0 {
		lacks = ", but for the " + strings.Join(without, " and the ")
	}
	switch {
	case r.Problem != nil:
		return "not ready: the backend does not open; see `to do`"
	case len(r.Advice) > 0:
		return "ready" + lacks + "; `to do` says what would be better"
	case lacks != "":
		return "ready" + lacks + ": see `to do`"
	}
	return "ready: nothing is missing"
}
