package backend

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// emptyMachine is a machine without plugins: its home, cache and search path
// are new directories, returned in this order.
func emptyMachine(t *testing.T) (home, cache, path string) {
	t.Helper()
	home, cache, path = t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("VITDECOMPOSE_CACHE", "")
	t.Setenv(pathVariable, path)
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("GOMLX_NO_AUTO_INSTALL", "1")
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		t.Skip("lays out the directories of Linux")
	}
	if _, err := os.Stat("/usr/local/lib/go-xla"); err == nil {
		t.Skip("this system has plugins in /usr/local/lib/go-xla")
	}
	return home, cache, path
}

// tinyELF is the smallest library that is whole: a header and one segment of n
// bytes after it.
func tinyELF(t *testing.T, machine elf.Machine, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	header := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	copy(header.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)})
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD), Off: 120, Filesz: uint64(n), Memsz: uint64(n)}
	for _, part := range []any{header, segment, bytes.Repeat([]byte{0x90}, n)} {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, part))
	}
	return b.Bytes()
}

func here(t *testing.T) elf.Machine {
	t.Helper()
	m, ok := elfMachines[runtime.GOARCH]
	if !ok {
		t.Skipf("no XLA plugin is built for %s", runtime.GOARCH)
	}
	return m
}

func put(t *testing.T, b []byte, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, b, 0o644))
	return file
}

func TestFindTakesTheFirstPlace(t *testing.T) {
	home, cache, path := emptyMachine(t)
	_, err := Find("cpu")
	require.ErrorIs(t, err, ErrNoPlugin)
	require.ErrorContains(t, err, path)

	inCache := put(t, []byte("c"), cache, "vitdecompose", "plugin", "pjrt_c_api_cpu_plugin.so")
	p, err := Find("cpu")
	require.NoError(t, err)
	require.Equal(t, Plugin{Device: "cpu", Path: inCache, Place: "fetched by vitdecompose setup", Cached: true}, p)

	inHome := put(t, []byte("h"), home, ".local", "lib", "go-xla", "pjrt_c_api_cpu_v0.99.0_plugin.so")
	p, err = Find("cpu")
	require.NoError(t, err)
	require.Equal(t, inHome, p.Path)
	require.False(t, p.Cached)

	named := put(t, []byte("n"), path, "pjrt_plugin_cpu.so")
	p, err = Find("cpu")
	require.NoError(t, err)
	require.Equal(t, named, p.Path)
	require.Contains(t, p.Place, pathVariable)
}

func TestFindKnowsHowPluginsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  []string
		device string
		want   string
	}{
		{"plain before versioned", []string{"pjrt_c_api_cpu_v1.0.0_plugin.so", "pjrt_c_api_cpu_plugin.so"}, "cpu", "pjrt_c_api_cpu_plugin.so"},
		{"newest version", []string{"pjrt_c_api_cpu_v0.99.0_plugin.so", "pjrt_c_api_cpu_v0.104.0_plugin.so"}, "cpu", "pjrt_c_api_cpu_v0.104.0_plugin.so"},
		{"beside NVIDIA's libraries", []string{"nvidia/pjrt_c_api_cuda_plugin.so"}, "cuda", "nvidia/pjrt_c_api_cuda_plugin.so"},
		{"another device", []string{"pjrt_c_api_cuda_plugin.so"}, "cpu", ""},
		{"another name", []string{"libpjrt_cpu.so"}, "cpu", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, path := emptyMachine(t)
			for _, f := range c.files {
				put(t, []byte("x"), path, f)
			}
			p, err := Find(c.device)
			if c.want == "" {
				require.ErrorIs(t, err, ErrNoPlugin)
				return
			}
			require.NoError(t, err)
			require.Equal(t, filepath.Join(path, c.want), p.Path)
		})
	}
}

func TestCacheDirCanBeMoved(t *testing.T) {
	_, cache, _ := emptyMachine(t)
	dir, err := CacheDir()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(cache, "vitdecompose", "plugin"), dir)

	other := t.TempDir()
	t.Setenv("VITDECOMPOSE_CACHE", other)
	moved := put(t, []byte("x"), other, "plugin", "pjrt_c_api_cpu_plugin.so")
	p, err := Find("cpu")
	require.NoError(t, err)
	require.Equal(t, moved, p.Path)
	require.True(t, p.Cached)
}

func TestCheckRefusesWhatMustNotBeLoaded(t *testing.T) {
	whole := tinyELF(t, here(t), 1000)
	other := elf.EM_AARCH64
	if here(t) == other {
		other = elf.EM_X86_64
	}
	for _, c := range []struct {
		name   string
		bytes  []byte
		reason string // "" when it may be loaded
	}{
		{"whole", whole, ""},
		{"cut", whole[:len(whole)-1], "inside what must be loaded"},
		{"cut inside the header", whole[:40], "no whole ELF library"},
		{"empty", nil, "no whole ELF library"},
		{"a page of an error", []byte("<html>404</html>"), "no whole ELF library"},
		{"another machine's", tinyELF(t, other, 10), "built for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Plugin{Device: "cpu", Path: put(t, c.bytes, t.TempDir(), "pjrt_c_api_cpu_plugin.so")}
			err := p.Check()
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			var damaged *DamagedError
			require.ErrorAs(t, err, &damaged)
			require.ErrorContains(t, err, p.Path)
			require.ErrorContains(t, err, c.reason)
			require.ErrorContains(t, err, pathVariable)
		})
	}
}

func TestCheckComparesAFetchedPluginWithItsRecord(t *testing.T) {
	content := tinyELF(t, here(t), 1000)
	changed := bytes.Clone(content)
	changed[500] ^= 1
	later := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name   string
		damage func(path string)
		reason string
	}{
		{"untouched", func(string) {}, ""},
		{"copied", func(p string) { require.NoError(t, os.Chtimes(p, later, later)) }, ""},
		{"cut", func(p string) { put(t, content[:700], p) }, "700 bytes, not"},
		{"changed", func(p string) { put(t, changed, p); require.NoError(t, os.Chtimes(p, later, later)) }, "SHA-256"},
		{"changed, its time kept", func(p string) {
			require.NoError(t, Plugin{Device: "cpu", Path: p, Cached: true}.Check()) // records the checksum
			info, err := os.Stat(p)
			require.NoError(t, err)
			put(t, changed, p)
			require.NoError(t, os.Chtimes(p, info.ModTime(), info.ModTime()))
		}, "SHA-256"},
		{"record lost", func(p string) { require.NoError(t, os.Remove(manifestPath(p))) }, "bytes, not"},
		{"record damaged", func(p string) { put(t, []byte("{"), manifestPath(p)) }, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Plugin{Device: "cpu", Path: put(t, content, t.TempDir(), "plugin.so"), Cached: true}
			sum, err := hashFile(p.Path)
			require.NoError(t, err)
			info, err := os.Stat(p.Path)
			require.NoError(t, err)
			require.NoError(t, writeManifest(p.Path, manifest{SHA256: sum, Size: info.Size(), Modified: info.ModTime()}))
			c.damage(p.Path)
			err = p.Check()
			got, compared, verifyErr := p.Verify()
			if c.reason == "" {
				require.NoError(t, err)
				require.NoError(t, verifyErr)
				require.True(t, compared)
				require.Equal(t, sum, got)
				return
			}
			var damaged *DamagedError
			require.ErrorAs(t, err, &damaged)
			require.ErrorAs(t, verifyErr, &damaged)
			require.ErrorContains(t, err, c.reason)
			require.ErrorContains(t, err, "vitdecompose setup")
		})
	}
}

func TestVerifySeesWhatCheckDoesNot(t *testing.T) {
	content := tinyELF(t, here(t), 1000)
	p := Plugin{Device: "cpu", Path: put(t, content, t.TempDir(), "plugin.so"), Cached: true}
	info, err := os.Stat(p.Path)
	require.NoError(t, err)
	checksum := newCRC32C()
	require.NoError(t, hashInto(checksum, p.Path))
	record := manifest{SHA256: strings.Repeat("0", 64), Size: info.Size(), Modified: info.ModTime(), CRC32C: hexOf(checksum)}
	require.NoError(t, writeManifest(p.Path, record))
	require.NoError(t, p.Check())
	_, compared, err := p.Verify()
	require.True(t, compared)
	var damaged *DamagedError
	require.True(t, errors.As(err, &damaged), "got %v", err)
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"source":"a","version":"1","sha256":"` + strings.Repeat("0a", 32) + `","size":3,"modified":"2026-06-23T00:20:00Z"}`))
	f.Add([]byte(`{"sha256":"","size":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err == nil && (len(m.SHA256) != 64 || m.Size <= 0) {
			t.Errorf("accepted %+v", m)
		}
	})
}
