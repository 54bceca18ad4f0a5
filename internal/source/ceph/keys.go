package ceph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"holdfast/internal/cephcmd"
)

// kept says where the value of a config-key is.
type kept struct {
	Key  string `json:"key"`
	File string `json:"file"` // beside the list
	Size int    `json:"size"`

	there bool
}

// takeKeyNames notes the keys there are.
func (c *capture) takeKeyNames(a cephcmd.Answer) error {
	var names []string
	if a.Err != 0 {
		return c.keepAnswer(keyEntry, a, keyList.need, inJSON)
	}
	if err := json.Unmarshal(a.Body, &names); err != nil {
		return fmt.Errorf("read the names of the config-keys: %w", err)
	}
	c.keys = []kept{}
	for _, name := range names {
		c.keys = append(c.keys, kept{Key: name, File: valueFile(name)})
	}
	return nil
}

// keyValues asks for every value on its own: a dump shows binary ones by their length alone.
func (c *capture) keyValues() []asking {
	var list []asking
	for n := range c.keys {
		k := &c.keys[n]
		list = append(list, asking{cephcmd.Mon("config-key get", "key", k.Key), func(a cephcmd.Answer) error { return c.takeKey(k, a) }})
	}
	return list
}

func (c *capture) takeKey(k *kept, a cephcmd.Answer) error {
	switch state, reason := judge(a); state {
	case Present:
		k.Size, k.there = len(a.Body), true
		return c.write("config-key/"+k.File, a.Body)
	case Absent: // it went while we looked
	default:
		e := valuesEntry
		if e.State, e.Reason = state, reason; state == Denied {
			e.Reason = c.denied(mayGetKeys)
		}
		if c.entry(e.File).State == "" {
			c.record(e)
		}
	}
	return nil
}

var (
	keyEntry    = Entry{File: keysFile, Command: typed(keyList.ask), For: keyList.use, Back: keyList.back}
	valuesEntry = Entry{File: "config-key/values", Command: "ceph config-key get KEY", For: "the values of the config-keys, byte for byte; secret"}
	setEntry    = Entry{File: "config-key/set.sh", Command: "ceph config-key set KEY -i FILE", For: "setting the config-keys again", Back: "sh config-key/set.sh"}
)

// keepKeys writes which value is in which file, and how they are set.
func (c *capture) keepKeys() error {
	if c.keys == nil || c.entry(valuesEntry.File).missing() {
		return nil
	}
	c.keys = slices.DeleteFunc(c.keys, func(k kept) bool { return !k.there })
	c.proof["config_keys"] = len(c.keys)
	script := scriptHead
	values := valuesEntry
	values.State = Present
	for _, k := range c.keys {
		values.Size += k.Size
		if strings.HasPrefix(k.Key, "config/") || strings.HasPrefix(k.Key, "config-history/") {
			continue // the options' own store, which options.conf is for
		}
		script += fmt.Sprintf("ceph config-key set %s -i %s\n", quoted(k.Key), quoted("config-key/"+k.File))
	}
	c.record(values)
	return errors.Join(c.put(keyEntry, readable(c.keys)), c.put(setEntry, []byte(script)))
}

// longestName is how long a name may be where every file system takes it.
const longestName = 200

// valueFile is where a value lies: keys look like paths, but one may be the beginning of another.
func valueFile(key string) string {
	name := url.PathEscape(key)
	if len(name) > longestName || strings.Trim(name, ".") == "" {
		sum := sha256.Sum256([]byte(key))
		name = hex.EncodeToString(sum[:])
	}
	return "values/" + name
}
