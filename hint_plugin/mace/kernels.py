from contextlib import nullcontext
def use(model, kind):
    return nullcontext()
