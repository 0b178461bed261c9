"""What was known of each customer at ``as_of``: one decorated function is one feature.

Importing the package registers every feature: each of its modules may hold some, except the labels, which features
must not see, and the battery, which judges them.
"""

import importlib
import pkgutil

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    if _module not in {"labels", "battery"}:
        importlib.import_module(f"{__name__}.{_module}")
