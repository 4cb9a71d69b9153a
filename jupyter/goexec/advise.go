// Package goexec is what the notebooks' kernel has beyond GoNB: sentences that help where a cell cannot be compiled, and a
// program that holds only what a cell uses. `make kernel` builds GoNB with these files beside those of its package of the same
// name, and with the calls that patch.sed puts there. Both are pure functions of text, so they are tested here.
package goexec

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	noStatement = regexp.MustCompile(`expected declaration, found|non-declaration statement outside function body`)
	undefined   = regexp.MustCompile(`undefined: (\S+)`)
	noMember    = regexp.MustCompile(`(\S+) undefined \(type \S+ has no field or method (\w+)(?:, but does have (?:field|method) (\w+))?\)`)
	noName      = regexp.MustCompile(`undefined: (notebook\.\w+)`)
	noField     = regexp.MustCompile(`unknown field (\w+) in struct literal of type (\S+?)(?:, but does have (\w+))?(?:\s|$)`)
	unused      = regexp.MustCompile(`declared and not used: (\w+)`)
	noPackage   = regexp.MustCompile(`package (vitdecompose/\S+) is not in std|no required module provides package (\S+?);`)
)

// Advise puts a sentence before what the Go compiler says of a cell, where one helps.
func Advise(message string) string {
	if advice := advice(message); advice != "" {
		return advice + "\n" + message
	}
	return message
}

func advice(message string) string {
	if noStatement.MatchString(message) {
		return "A cell that does something begins with a line that has %% alone: declarations stand above it, what the cell does below it. Is that line missing?"
	}
	if m := noField.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s has no field %s%s.", m[2], m[1], suggestion(m[3]))
	}
	if m := noMember.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("There is no %s%s. Tab after the dot lists what there is.", m[1], suggestion(m[3]))
	}
	if m := noName.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("There is no %s. Tab after the dot lists what there is.", m[1])
	}
	if m := undefined.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("The notebook does not know %s: run the first cell, and those above this one (Run, Run All Above Selected Cell); or it is mistyped.", m[1])
	}
	if m := unused.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("Go wants every name below the line %%%% to be used: use %s, or leave it out.", m[1])
	}
	if m := noPackage.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("There is no package %s here: a notebook needs \"vitdecompose/notebook\" alone.", strings.Join(m[1:], ""))
	}
	return ""
}

func suggestion(name string) string {
	if name == "" {
		return ""
	}
	return ", but " + name
}
