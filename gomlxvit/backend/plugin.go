package backend

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"vitdecompose/data/atomicfile"
)

// pathVariable is the environment variable in which go-xla looks for the
// directories of plugins, separated as in PATH.
const pathVariable = "PJRT_PLUGIN_LIBRARY_PATH"

// ErrNoPlugin is what [Find] and [Setup] wrap when there is no plugin for a device.
var ErrNoPlugin = errors.New("no XLA plugin")

// Plugin is an XLA plugin (a PJRT library) on disk.
type Plugin struct {
	Device string // "cpu", "cuda" or "tpu"
	Path   string // absolute path of the library
	Place  string // why it was looked for there, for people
	Cached bool   // in the directory that Setup fills
}

// DamagedError says that a plugin must not be loaded, and why.
type DamagedError struct {
	Plugin Plugin
	Reason string
}

func (e *DamagedError) Error() string {
	cure := "remove it, or name another directory in " + pathVariable
	if e.Plugin.Cached {
		cure = "`vitdecompose setup` fetches it again"
	}
	return fmt.Sprintf("XLA plugin %s is damaged: %s; %s", e.Plugin.Path, e.Reason, cure)
}

// place is a directory in which plugins are looked for.
type place struct {
	dir, what string
	cached    bool
}

// CacheDir is the directory in which Setup keeps the plugin: plugin in
// $VITDECOMPOSE_CACHE or, without that, in vitdecompose in the user's cache
// directory. It need not exist.
func CacheDir() (string, error) {
	if dir := os.Getenv("VITDECOMPOSE_CACHE"); dir != "" {
		return filepath.Abs(filepath.Join(dir, "plugin"))
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for a cache: %w; set VITDECOMPOSE_CACHE to a directory", err)
	}
	return filepath.Join(dir, "vitdecompose", "plugin"), nil
}

// places lists where plugins are looked for, the first one that has the plugin wins.
func places() []place {
	var found []place
	for _, dir := range filepath.SplitList(os.Getenv(pathVariable)) {
		if abs, err := filepath.Abs(dir); err == nil && dir != "" {
			found = append(found, place{dir: abs, what: "named in " + pathVariable})
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		library := filepath.Join(home, ".local", "lib", "go-xla")
		if runtime.GOOS == "darwin" {
			library = filepath.Join(home, "Library", "Application Support", "go-xla")
		}
		found = append(found, place{dir: library, what: "go-xla's directory of the user"})
	}
	found = append(found, place{dir: "/usr/local/lib/go-xla", what: "go-xla's directory of the system"})
	if dir, err := CacheDir(); err == nil {
		found = append(found, place{dir: dir, what: "fetched by vitdecompose setup", cached: true})
	}
	return found
}

// libraryExtension is the ending of a dynamic library on this system.
func libraryExtension() string {
	switch runtime.GOOS {
	case "darwin":
		return ".dylib"
	case "windows":
		return ".dll"
	}
	return ".so"
}

// fileName is the name under which go-xla expects the plugin of a device.
func fileName(device string) string {
	return "pjrt_c_api_" + device + "_plugin" + libraryExtension()
}

// Find returns the first plugin for a device ("cpu", "cuda", "tpu"), looking in
// the directories of PJRT_PLUGIN_LIBRARY_PATH, go-xla's directories of the user
// and of the system, and the cache directory, in this order. It does not look
// inside the file: [Plugin.Check] does. The error wraps [ErrNoPlugin] when no
// directory has one.
func Find(device string) (Plugin, error) {
	var looked []string
	for _, p := range places() {
		// go-xla keeps NVIDIA's libraries and the plugin that needs them together.
		for _, dir := range []string{p.dir, filepath.Join(p.dir, "nvidia")} {
			if path := libraryIn(dir, device); path != "" {
				return Plugin{Device: device, Path: path, Place: p.what, Cached: p.cached}, nil
			}
		}
		looked = append(looked, p.dir)
	}
	return Plugin{}, fmt.Errorf("%w for %s in %s", ErrNoPlugin, device, strings.Join(looked, ", "))
}

// libraryIn returns the plugin of a device in one directory, "" when there is
// none: the plain name first, else the newest of the versioned ones
// (pjrt_c_api_cpu_v0.104.0_plugin.so).
func libraryIn(dir, device string) string {
	extensions := []string{libraryExtension()}
	if runtime.GOOS == "darwin" {
		extensions = append(extensions, ".so")
	}
	for _, ext := range extensions {
		for _, name := range []string{
			"pjrt_c_api_" + device + "_plugin" + ext,
			"pjrt-plugin-" + device + ext,
			"pjrt_plugin_" + device + ext,
		} {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
		prefix, suffix := "pjrt_c_api_"+device+"_", "_plugin"+ext
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // most of the directories do not exist, which is no error
		}
		var versions []string
		for _, entry := range entries {
			name := entry.Name()
			if strings.HasPrefix(name, prefix+"v") && strings.HasSuffix(name, suffix) {
				versions = append(versions, strings.TrimSuffix(strings.TrimPrefix(name, prefix), suffix))
			}
		}
		if len(versions) > 0 {
			newest := slices.MaxFunc(versions, semver.Compare)
			return filepath.Join(dir, prefix+newest+suffix)
		}
	}
	return ""
}

// manifest stands beside a plugin that Setup fetched and says what it must be.
type manifest struct {
	Source   string    `json:"source"`
	Version  string    `json:"version"`
	SHA256   string    `json:"sha256"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// CRC32C is the checksum (Castagnoli) of a file whose SHA-256 was right, in hexadecimal; "" before the first check.
	// Over the 270 MB of XLA's plugin it takes 0.07 s, SHA-256 0.25 s.
	CRC32C string `json:"crc32c,omitempty"`
}

func manifestPath(plugin string) string { return plugin + ".json" }

// parseManifest reads a manifest and refuses one that could not have been
// written by Setup.
func parseManifest(b []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return manifest{}, err
	}
	if sum, err := hex.DecodeString(m.SHA256); err != nil || len(sum) != sha256.Size {
		return manifest{}, fmt.Errorf("sha256 %q is not one", m.SHA256)
	}
	if m.Size <= 0 {
		return manifest{}, fmt.Errorf("size %d", m.Size)
	}
	return m, nil
}

// readManifest returns the record beside a fetched plugin. Without one the
// plugin can only be the wheel's, whose hash is known: Setup may have been
// ended between the two files.
func readManifest(plugin string) (manifest, error) {
	b, err := os.ReadFile(manifestPath(plugin))
	if errors.Is(err, os.ErrNotExist) {
		return manifest{Source: wheelPackage, Version: wheelVersion, SHA256: wheelPluginSHA256, Size: wheelPluginSize}, nil
	}
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(b)
}

func writeManifest(plugin string, m manifest) error {
	return atomicfile.Write(manifestPath(plugin), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(m)
	})
}

// Check refuses a plugin that is cut, changed or built for another machine,
// with a [DamagedError]. One that Setup fetched has the recorded size, time and
// checksum, for which the file is read once, or else the recorded SHA-256; of any
// other the ELF structure is compared with the length of the file.
// [Plugin.Verify] always takes the SHA-256.
func (p Plugin) Check() error {
	info, err := os.Stat(p.Path)
	if err != nil {
		return fmt.Errorf("XLA plugin: %w", err)
	}
	if !info.Mode().IsRegular() {
		return &DamagedError{Plugin: p, Reason: "not a regular file"}
	}
	if p.Cached {
		m, err := readManifest(p.Path)
		if err != nil {
			return &DamagedError{Plugin: p, Reason: fmt.Sprintf("its record %s cannot be read: %v", manifestPath(p.Path), err)}
		}
		if info.Size() == m.Size && info.ModTime().Equal(m.Modified) && m.CRC32C != "" {
			sum := newCRC32C()
			if err := hashInto(sum, p.Path); err != nil {
				return err
			}
			if hexOf(sum) == m.CRC32C {
				return nil
			}
		}
		return p.verify(info, m)
	}
	return p.checkELF(info.Size())
}

// Verify reads the whole plugin. It returns its SHA-256 in hexadecimal and
// whether there was one to compare with: there is for what Setup fetched, not
// for a plugin that came by another way. The error is a [DamagedError] when
// they differ.
func (p Plugin) Verify() (sum string, compared bool, err error) {
	if err := p.Check(); err != nil {
		return "", false, err
	}
	sum, err = hashFile(p.Path)
	if err != nil || !p.Cached {
		return sum, false, err
	}
	m, err := readManifest(p.Path)
	if err != nil {
		return sum, false, err
	}
	if sum != m.SHA256 {
		return sum, true, &DamagedError{Plugin: p, Reason: fmt.Sprintf("its SHA-256 is %s, not %s", sum, m.SHA256)}
	}
	return sum, true, nil
}

// verify compares the SHA-256 of a fetched plugin whose time or checksum is not
// the recorded one (new, copied, restored from a backup) with its record, and on
// success records both, so that the next Check is quick again.
func (p Plugin) verify(info os.FileInfo, m manifest) error {
	if info.Size() != m.Size {
		return &DamagedError{Plugin: p, Reason: fmt.Sprintf("it has %d bytes, not %d", info.Size(), m.Size)}
	}
	sum, checksum := sha256.New(), newCRC32C()
	if err := hashInto(io.MultiWriter(sum, checksum), p.Path); err != nil {
		return err
	}
	if hexOf(sum) != m.SHA256 {
		return &DamagedError{Plugin: p, Reason: fmt.Sprintf("its SHA-256 is %s, not %s", hexOf(sum), m.SHA256)}
	}
	m.Modified, m.CRC32C = info.ModTime(), hexOf(checksum)
	if err := writeManifest(p.Path, m); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// elfMachines are the ELF machine numbers of the architectures XLA is built for.
var elfMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkELF compares what an ELF library says about itself with its length.
// Other systems' formats are left to their dynamic linkers.
func (p Plugin) checkELF(size int64) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	f, err := elf.Open(p.Path)
	if err != nil {
		return &DamagedError{Plugin: p, Reason: fmt.Sprintf("it is no whole ELF library (%v)", err)}
	}
	defer f.Close()
	if want, known := elfMachines[runtime.GOARCH]; known && f.Machine != want {
		return &DamagedError{Plugin: p, Reason: fmt.Sprintf("it is built for %v, this machine needs %v", f.Machine, want)}
	}
	length := uint64(size)
	whole := func(offset, n uint64) bool { return offset <= length && n <= length-offset }
	for _, segment := range f.Progs {
		if !whole(segment.Off, segment.Filesz) {
			return &DamagedError{Plugin: p, Reason: fmt.Sprintf("it ends after %d bytes, inside what must be loaded", size)}
		}
	}
	for _, section := range f.Sections {
		if section.Type != elf.SHT_NOBITS && !whole(section.Offset, section.FileSize) {
			return &DamagedError{Plugin: p, Reason: fmt.Sprintf("it ends after %d bytes, inside its section %s", size, section.Name)}
		}
	}
	return nil
}

// hashFile returns the SHA-256 of a file in hexadecimal.
func hashFile(path string) (string, error) {
	sum := sha256.New()
	err := hashInto(sum, path)
	return hexOf(sum), err
}

func newCRC32C() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

func hexOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// hashInto writes a file into a hash.
func hashInto(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
