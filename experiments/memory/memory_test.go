package memory_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/memory"
)

// linux skips where the kernel does not tell what this package reads.
func linux(t *testing.T) {
	t.Helper()
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), "VmHWM:") {
		t.Skip("the kernel does not tell")
	}
}

func TestFree(t *testing.T) {
	linux(t)
	free := memory.Free()
	require.Greater(t, free, uint64(1<<20), "a machine that runs tests has a megabyte left")
	require.Less(t, free, uint64(1<<50))
	require.Zero(t, free%1024, "the kernel counts in kilobytes")
}

func TestPretend(t *testing.T) {
	restore := memory.Pretend(17)
	require.Equal(t, uint64(17), memory.Free())
	inner := memory.Pretend(0)
	require.Zero(t, memory.Free(), "a system that does not tell")
	inner()
	require.Equal(t, uint64(17), memory.Free())
	restore()
	require.NotEqual(t, uint64(17), memory.Free())
}

// TestPeak takes 64 MB and sees that the kernel has counted them.
func TestPeak(t *testing.T) {
	linux(t)
	memory.ResetPeak()
	before := memory.Peak()
	require.Positive(t, before)
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	require.GreaterOrEqual(t, memory.Peak(), before+size/2)
	require.Equal(t, byte(1), block[0])
}
