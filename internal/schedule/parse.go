package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Forms tells how a rule is written.
const Forms = `write "daily at 02:00", "weekly sunday 04:00", "monthly 15 05:00", "every 4h" or five fields as in a crontab, such as "30 2 * * 1-5"`

// Bounds of "every".
const (
	leastEvery = time.Minute
	mostEvery  = 366 * 24 * time.Hour
)

const (
	allMonths   = 1<<13 - 1<<1
	allDays     = 1<<32 - 1<<1
	allWeekdays = 1<<7 - 1
)

// Parse reads a rule.
func Parse(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Rule{}, fmt.Errorf("it says no time")
	}
	r, err := parseWords(strings.ToLower(words[0]), words)
	if err != nil {
		return Rule{}, err
	}
	r.text = strings.Join(words, " ")
	if r.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC).IsZero() {
		return Rule{}, fmt.Errorf("%q never comes", text)
	}
	return r, nil
}

func parseWords(first string, words []string) (Rule, error) {
	switch first {
	case "daily", "weekly", "monthly":
		return parseCalendar(first, words[1:])
	case "every":
		if len(words) != 2 {
			return Rule{}, fmt.Errorf("every needs one span, such as 4h")
		}
		return parseEvery(words[1])
	}
	if len(words) == 5 {
		return parseCron(words)
	}
	return Rule{}, fmt.Errorf("%q is not a time to do something", strings.Join(words, " "))
}

// parseCalendar reads what follows daily, weekly and monthly: a day where there is one, and a time.
func parseCalendar(kind string, words []string) (Rule, error) {
	r := Rule{days: allDays, months: allMonths, weekdays: allWeekdays, clip: kind == "monthly"}
	if kind == "monthly" {
		r.days = 1 << 1
	}
	var at string
	for _, w := range words {
		var err error
		switch {
		case strings.EqualFold(w, "at") || strings.EqualFold(w, "on"):
		case strings.Contains(w, ":") && at == "":
			at = w
		case kind == "weekly" && r.weekdays == allWeekdays:
			var day int
			day, err = nameIn(weekdays, w)
			r.weekdays = 1 << day
		case kind == "monthly" && r.days == 1<<1:
			r.days, err = parseDay(w)
		default:
			err = fmt.Errorf("%q is one word too many", w)
		}
		if err != nil {
			return r, err
		}
	}
	if kind == "weekly" && r.weekdays == allWeekdays {
		return r, fmt.Errorf("weekly needs a day, such as sunday")
	}
	day, err := ParseClock(at)
	if at == "" || err != nil {
		return r, fmt.Errorf("%s needs a time of the day, such as 02:00", kind)
	}
	r.hours, r.minutes = 1<<int(day.Hours()), 1<<(int(day.Minutes())%60)
	return r, nil
}

func parseDay(word string) (uint64, error) {
	if strings.EqualFold(word, "last") {
		return 1 << 31, nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 || n > 31 {
		return 0, fmt.Errorf("%q is not a day of a month", word)
	}
	return 1 << n, nil
}

// parseEvery reads a span in days, hours and minutes.
func parseEvery(word string) (Rule, error) {
	number, unit := word[:len(word)-1], word[len(word)-1:]
	n, err := strconv.Atoi(number)
	span, ok := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute}[unit]
	if err != nil || !ok || n < 1 || n > int(mostEvery/span) || time.Duration(n)*span < leastEvery {
		return Rule{}, fmt.Errorf("%q is not a span of at least a minute, such as 4h", word)
	}
	return Rule{every: time.Duration(n) * span}, nil
}

// ParseClock reads HH:MM, as the time since midnight.
func ParseClock(text string) (time.Duration, error) {
	h, m, ok := strings.Cut(text, ":")
	hour, err := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if !ok || err != nil || err2 != nil || len(m) != 2 || len(h) > 2 || hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, fmt.Errorf("%q is not a time of the day", text)
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute, nil
}

// cronField is one of the five fields.
type cronField struct {
	name        string
	least, most int
	names       []string
}

var cronFields = []cronField{
	{"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of the month", 1, 31, nil}, {"month", 1, 12, monthNames}, {"day of the week", 0, 7, weekdays},
}

func parseCron(words []string) (r Rule, err error) {
	var sets [5]uint64
	for i, w := range words {
		if sets[i], err = cronFields[i].parse(w); err != nil {
			return r, err
		}
	}
	r.minutes, r.hours, r.days, r.months = sets[0], sets[1], sets[2], sets[3]
	r.weekdays = (sets[4] | sets[4]>>7) & allWeekdays // 7 is Sunday too
	r.either = !strings.HasPrefix(words[2], "*") && !strings.HasPrefix(words[4], "*")
	return r, nil
}

// parse reads a field: numbers, names, ranges, * and steps, separated by commas.
func (f cronField) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		bounds, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.most {
				return 0, fmt.Errorf("%s: %q is not a step", f.name, stepText)
			}
		}
		from, to, err := f.bounds(bounds, stepped)
		if err != nil {
			return 0, err
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, nil
}

func (f cronField) bounds(text string, stepped bool) (from, to int, err error) {
	if text == "*" {
		return f.least, f.most, nil
	}
	low, high, isRange := strings.Cut(text, "-")
	if from, err = f.number(low); err != nil {
		return 0, 0, err
	}
	switch {
	case isRange:
		if to, err = f.number(high); err == nil && to < from {
			err = fmt.Errorf("%s: %q ends before it begins", f.name, text)
		}
	case stepped:
		to = f.most
	default:
		to = from
	}
	return from, to, err
}

func (f cronField) number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil && f.names != nil {
		n, err = nameIn(f.names, text)
	}
	if err != nil || n < f.least || n > f.most {
		return 0, fmt.Errorf("%s: %q is not from %d to %d", f.name, text, f.least, f.most)
	}
	return n, nil
}
