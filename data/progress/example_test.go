package progress_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"vitdecompose/data/progress"
)

func ExampleReporter() {
	pictures := []string{"a.png", "b.png", "c.png"}

	report := progress.New(os.Stderr) // a bar on a terminal, plain lines in a log
	report.Start("decode", len(pictures))
	for range pictures {
		// ... decode one ...
		report.Add(1)
	}
	report.Done()
	// Output:
}

func ExampleNewLines() {
	var log strings.Builder
	report := progress.NewLines(&log, time.Hour)
	report.Start("decode", 2)
	report.Add(2)
	report.Done()

	// The rate and the time taken differ from run to run.
	fmt.Print(regexp.MustCompile(`(of 2), .*`).ReplaceAllString(log.String(), "$1, RATE, TIME"))
	// Output:
	// decode: 0 of 2
	// decode: 2 of 2, RATE, TIME
}
