"""JSON as the golden files have it."""
import json


def write_json(path, document):
    """One key a line at the top two levels; numbers and short lists stay on one line."""

    def text(node, depth):
        pad = "  " * (depth + 1)
        if isinstance(node, dict) and depth < 2:
            inner = [f"{pad}{json.dumps(key)}: {text(item, depth + 1)}" for key, item in node.items()]
            return "{\n" + ",\n".join(inner) + "\n" + "  " * depth + "}"
        if isinstance(node, list) and depth < 2 and node and isinstance(node[0], (dict, list)):
            return "[\n" + ",\n".join(pad + text(item, depth + 2) for item in node) + "\n" + "  " * depth + "]"
        return json.dumps(node, allow_nan=False)

    path.write_text(text(document, 0) + "\n")
