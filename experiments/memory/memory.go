// Package memory reads what the kernel says of memory: how much is free, and how much this process has taken.
package memory

import (
	"io"
	"os"
	"strconv"
	"strings"
)

// Free is the memory that can be had without swapping, in bytes; 0 if the system does not tell.
func Free() uint64 { return free() }

// free is [Free]. Tests replace it: see [Pretend].
var free = func() uint64 { return kilobytes("/proc/meminfo", "MemAvailable:") * 1024 }

// Pretend makes [Free] say a number of bytes until restore is called. It is for tests of what does not fit into memory, none
// of which runs beside others.
func Pretend(bytes uint64) (restore func()) {
	real := free
	free = func() uint64 { return bytes }
	return func() { free = real }
}

// Peak is the peak resident memory of this process since [ResetPeak], in bytes; 0 if the system does not tell.
func Peak() uint64 { return kilobytes("/proc/self/status", "VmHWM:") * 1024 }

// ResetPeak makes the kernel count the peak from now on (Linux; elsewhere peaks are not read).
func ResetPeak() {
	// A kernel that does not allow it leaves the peak of the whole run, which is an upper bound: nothing to report.
	if f, err := os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err == nil {
		io.WriteString(f, "5")
		f.Close()
	}
}

// kilobytes reads an entry of a file in which the kernel says sizes, 0 if it is not there.
func kilobytes(file, entry string) uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, entry); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb
		}
	}
	return 0
}
