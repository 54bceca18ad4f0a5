package inventory

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxIndirection bounds how many variables a value may lead through, so that a circle ends.
const maxIndirection = 8

var reference = regexp.MustCompile(`\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}`)

// Var returns a scalar variable as text, and whether it is there and known. Plain references to other variables of
// the host are followed; any other template, a list, a map and an encrypted value are not known.
func (h *Host) Var(name string) (string, bool) {
	text, err := h.lookup(name)
	return text, err == nil && text != ""
}

// lookup is Var that says why a value that is there is not known; a variable that is not there is "".
func (h *Host) lookup(name string) (string, error) {
	text, err := expandVar(name, h.value)
	if err != nil {
		return "", fmt.Errorf("variable %s of %s %w", name, h.Name, err)
	}
	return text, nil
}

func (h *Host) value(name string) (any, bool) {
	if name == "inventory_hostname" {
		return h.Name, true
	}
	v, there := h.Vars[name]
	return v, there && v != nil
}

// first returns the first of the variables that is set.
func (h *Host) first(names ...string) (string, error) {
	for _, name := range names {
		if text, err := h.lookup(name); err != nil || text != "" {
			return text, err
		}
	}
	return "", nil
}

// expandVar gives the text of a variable, with plain references replaced by what they name. It is "" for a variable
// that is not there.
func expandVar(name string, value func(name string) (any, bool)) (string, error) {
	v, there := value(name)
	if !there {
		return "", nil
	}
	text, err := scalar(v)
	for range maxIndirection {
		if err != nil || !templated(text) {
			return text, err
		}
		text, err = replaceReferences(text, value)
	}
	return "", errors.New("leads in a circle")
}

// replaceReferences fails if text holds anything but plain references to variables that are there.
func replaceReferences(text string, value func(name string) (any, bool)) (string, error) {
	var failed error
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		v, there := value(reference.FindStringSubmatch(ref)[1])
		plain, err := scalar(v)
		if failed == nil && err != nil {
			failed = err
		}
		if !there || err != nil {
			return ref
		}
		return plain
	})
	if failed == nil && (out == text || templated(reference.ReplaceAllString(text, ""))) {
		failed = fmt.Errorf("is a template that only Ansible can resolve: %s", text)
	}
	return out, failed
}

// templated reports whether text needs Ansible to say what it stands for.
func templated(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%")
}

// truthy reads a word as Ansible reads a boolean.
func truthy(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "yes", "true", "on", "1", "y", "t":
		return true
	}
	return false
}

// scalar turns a value from JSON or YAML into text.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case json.Number:
		return v.String(), nil
	case map[string]any:
		if _, encrypted := v["__ansible_vault"]; encrypted {
			return "", errors.New("is encrypted with ansible-vault")
		}
	}
	return "", fmt.Errorf("is a %T, not a plain value", v)
}
