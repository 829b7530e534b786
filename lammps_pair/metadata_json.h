/* JSON (RFC 8259), as far as the metadata of an artifact need it: read once, small, and not to be trusted. */

#ifndef HINT_METADATA_JSON_H
#define HINT_METADATA_JSON_H

#include <charconv>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace hint {

struct Json {
  enum Kind { NOTHING, BOOLEAN, NUMBER, STRING, LIST, OBJECT } kind = NOTHING;
  std::string text; // of a string; of a number and a boolean as the file has them
  std::vector<Json> items;
  std::map<std::string, Json> fields;

  // The field of that name, or nothing.

  const Json &operator[](const std::string &name) const {
    static const Json none;
    const auto found = fields.find(name);
    return found == fields.end() ? none : found->second;
  }

  // A finite number; NaN is returned for everything else. Not strtod, which depends on the locale.

  double number() const {
    double value = 0.0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = kind == NUMBER && problem == std::errc() && end == text.data() + text.size();
    return whole && std::isfinite(value) ? value : std::nan("");
  }
};

class JsonReader {
public:
  explicit JsonReader(const std::string &text) : text(text) {}

  // Raises std::runtime_error: the text is no JSON.

  Json read() {
    Json found = value(0);
    blanks();
    if (at != text.size())
      fail();
    return found;
  }

private:
  const std::string &text;
  size_t at = 0;

  [[noreturn]] void fail() const {
    throw std::runtime_error("its metadata are no JSON (character " + std::to_string(at) + ")");
  }

  void blanks() {
    while (at < text.size() && std::string(" \t\r\n").find(text[at]) != std::string::npos)
      at++;
  }

  bool take(const std::string &word) {
    if (text.compare(at, word.size(), word) != 0)
      return false;
    at += word.size();
    return true;
  }

  bool next_is(char wanted) {
    blanks();
    return at < text.size() && text[at] == wanted && ++at;
  }

  Json value(int depth) {
    if (depth > 50) // each level is a call, and the stack has an end
      fail();
    blanks();
    Json found;
    if (next_is('{')) {
      found.kind = Json::OBJECT;
      for (bool more = !next_is('}'); more; more = separated('}')) {
        blanks();
        const std::string name = string();
        if (!next_is(':'))
          fail();
        found.fields[name] = value(depth + 1);
      }
    } else if (next_is('[')) {
      found.kind = Json::LIST;
      for (bool more = !next_is(']'); more; more = separated(']'))
        found.items.push_back(value(depth + 1));
    } else if (at < text.size() && text[at] == '"') {
      found.kind = Json::STRING;
      found.text = string();
    } else if (take("true") || take("false")) {
      found.kind = Json::BOOLEAN;
      found.text = text[at - 2] == 'u' ? "true" : "false";
    } else if (!take("null")) {
      found.kind = Json::NUMBER;
      while (at < text.size() && std::string("+-.0123456789eEaNIfinty").find(text[at]) != std::string::npos)
        found.text += text[at++]; // also NaN and Infinity, as Python writes them
      if (found.text.empty())
        fail();
    }
    return found;
  }

  bool separated(char end) {
    if (next_is(','))
      return true;
    if (!next_is(end))
      fail();
    return false;
  }

  std::string string() {
    std::string found;
    if (!take("\""))
      fail();
    while (!take("\"")) {
      if (at >= text.size())
        fail();
      if (text[at] != '\\') {
        found += text[at++];
        continue;
      }
      static const std::string letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
      if (++at >= text.size())
        fail();
      const size_t place = letters.find(text[at]);
      if (place != std::string::npos)
        found += meant[place];
      else if (text[at] == 'u' && at + 4 < text.size())
        append(found, text.substr(at + 1, 4)), at += 4;
      else
        fail();
      at++;
    }
    return found;
  }

  // One unit of UTF-16 as UTF-8. Halves of a pair stay two: nothing that is read here has any.

  void append(std::string &found, const std::string &digits) const {
    unsigned code = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + 4, code, 16);
    if (problem != std::errc() || end != digits.data() + 4)
      fail();
    if (code < 0x80) {
      found += static_cast<char>(code);
      return;
    }
    if (code < 0x800) {
      found += static_cast<char>(0xC0 | code >> 6);
    } else {
      found += static_cast<char>(0xE0 | code >> 12);
      found += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    }
    found += static_cast<char>(0x80 | (code & 0x3F));
  }
};

} // namespace hint

#endif
