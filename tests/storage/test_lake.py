from headwater.storage.lake import Lake
from headwater.testing.stores import StoreContract


class TestContract(StoreContract):
    store_class = Lake
