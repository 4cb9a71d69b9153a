package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// scanner goes through text that json.Valid accepts, from value to value. The decoder of encoding/json takes ten times as
// long for the many small values of a header (measured on one of 16 MB).
type scanner struct {
	text []byte
	at   int
}

// peek skips white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// value steps over the next value and returns its text.
func (s *scanner) value() []byte {
	first := s.peek()
	begin := s.at
	switch first {
	case '"':
		for s.at++; s.text[s.at] != '"'; s.at++ {
			if s.text[s.at] == '\\' {
				s.at++
			}
		}
		s.at++
	case '{', '[':
		for depth := 0; ; {
			switch s.peek() {
			case '"':
				s.value()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if s.at++; depth == 0 {
				return s.text[begin:s.at]
			}
		}
	default: // a number or a word
		for s.at < len(s.text) {
			switch s.text[s.at] {
			case ' ', '\t', '\n', '\r', ',', ':', '}', ']':
				return s.text[begin:s.at]
			}
			s.at++
		}
	}
	return s.text[begin:s.at]
}

// quoted reads a string.
func (s *scanner) quoted() (string, error) {
	if s.peek() != '"' {
		return "", fmt.Errorf("%w: a text was expected, not %.40q", ErrHeaderJSON, s.value())
	}
	raw := s.value()
	for _, c := range raw {
		if c == '\\' {
			var text string
			err := json.Unmarshal(raw, &text)
			return text, err
		}
	}
	return string(raw[1 : len(raw)-1]), nil
}

// eachKey calls visit for each key of the object that comes next; visit has to step over the value. A key that occurs twice
// is an error, and so are more than maxNames.
func (s *scanner) eachKey(visit func(key string) error) error {
	if s.peek() != '{' {
		return fmt.Errorf("%w: an object was expected", ErrHeaderJSON)
	}
	seen := map[string]bool{}
	for s.at++; s.peek() != '}'; {
		if s.text[s.at] == ',' {
			s.at++
		}
		key, err := s.quoted()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%w: %.100q", ErrDuplicate, key)
		}
		if seen[key] = true; len(seen) > maxNames {
			return fmt.Errorf("%w: more than %d names, which no model has", ErrHeaderTooLong, maxNames)
		}
		s.peek()
		s.at++ // the colon
		if err := visit(key); err != nil {
			return err
		}
	}
	s.at++
	return nil
}

// integers reads a list of at most limit whole numbers.
func (s *scanner) integers(limit int) ([]int64, error) {
	if s.peek() != '[' {
		return nil, errors.New("a list of whole numbers was expected")
	}
	numbers := []int64{}
	for s.at++; s.peek() != ']'; {
		if s.text[s.at] == ',' {
			s.at++
		}
		if len(numbers) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		raw := s.value()
		number, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%.40q is not a whole number of 64 bits", raw)
		}
		numbers = append(numbers, number)
	}
	s.at++
	return numbers, nil
}
